"""The users table, e-mail addresses and ids."""
