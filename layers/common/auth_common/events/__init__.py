"""Security events, log lines, metrics and the request that they belong to."""
