"""Service clients: services that authenticate with a secret or a key, without a user."""
