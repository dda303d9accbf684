"""Accounts: registration, profiles, erasure, and changes by operators."""
