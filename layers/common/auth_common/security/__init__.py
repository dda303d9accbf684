"""Cryptography: one module a library (``bcrypt``, ``jwt``), so that each is audited in one place."""
