"""Signing keys, shared secrets and what is derived from them."""
