"""``make attack``: attack a local service, and show the security events and alarms of each attack."""
