"""Registration, profiles, erasure, and what operators do with accounts."""
