"""How passwords are hashed."""

from conversation import COST
from django.contrib.auth.hashers import BCryptSHA256PasswordHasher


class BCryptHasher(BCryptSHA256PasswordHasher):
    """Django's bcrypt at the cost that all peers have here."""

    rounds = COST
