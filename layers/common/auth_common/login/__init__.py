"""Login with a password."""
