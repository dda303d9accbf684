"""Refresh tokens: how they are made, hashed, and how their successors are sealed."""

import hashlib
import re

import pytest
from cryptography.exceptions import InvalidTag

from auth_common.sessions.refresh_tokens import (
    MAX_REFRESH_TOKEN_LENGTH,
    hash_refresh_token,
    new_refresh_token,
    open_successor,
    seal_successor,
)

pytestmark = pytest.mark.sessions


@pytest.mark.asvs("7.2.3", "11.5.1")
def test_token_has_256_random_bits_and_a_prefix_and_is_hashed_with_sha256():
    """By the prefix, secret scanners recognise a leaked token."""
    token = new_refresh_token()
    assert re.fullmatch(r"rt_[A-Za-z0-9_-]{43}", token)
    assert len(token) <= MAX_REFRESH_TOKEN_LENGTH
    assert len({new_refresh_token() for _ in range(100)}) == 100
    assert hash_refresh_token("rt_x") == hashlib.sha256(b"rt_x").digest()


@pytest.mark.asvs("11.2.5", "11.3.3", "11.3.4")
def test_sealed_successor_opens_only_unchanged_and_with_the_spent_token():
    """The database has the sealed successor and the hash of the spent token. They are not enough to open it."""
    spent, successor = new_refresh_token(), new_refresh_token()
    seals = {seal_successor(successor, under=spent) for _ in range(10)}
    assert len(seals) == 10
    assert {len(seal) for seal in seals} == {12 + 46 + 16}
    sealed = seals.pop()
    assert open_successor(sealed, under=spent) == successor
    assert successor.encode() not in sealed
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    others = (new_refresh_token(), hash_refresh_token(spent).hex(), "")
    for seal, key in ((changed, spent), *((sealed, other) for other in others)):
        with pytest.raises(InvalidTag):
            open_successor(seal, under=key)
