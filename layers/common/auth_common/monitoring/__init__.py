"""What the Security team sees: structured logs, metrics and security events."""
