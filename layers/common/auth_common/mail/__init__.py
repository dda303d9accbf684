"""Mail: the outbox, the sender and its transports."""
