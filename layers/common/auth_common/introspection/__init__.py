"""Introspection: other services ask whether an access token is still valid."""
