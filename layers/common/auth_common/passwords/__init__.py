"""Passwords: hashing, policy and change."""
