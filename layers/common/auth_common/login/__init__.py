"""The login with a password."""
