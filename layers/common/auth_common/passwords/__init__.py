"""Hashing, policy and change of passwords."""
