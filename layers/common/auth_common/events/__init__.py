"""Security events, log lines and metrics, and the request context that they share."""
