"""Signing keys, verification keys, shared secrets and keyed hashes."""
