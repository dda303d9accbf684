"""The hasher of passwords."""

from django.contrib.auth.hashers import BCryptSHA256PasswordHasher
from peer_process import BCRYPT_COST


class BCryptHasher(BCryptSHA256PasswordHasher):
    """Django's bcrypt hasher at the common cost of all peers."""

    rounds = BCRYPT_COST
