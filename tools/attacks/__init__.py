"""``make attack``: attacks on a local service of their own, and what the Security team sees of each."""
