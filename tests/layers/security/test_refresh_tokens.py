"""Refresh tokens: random, stored as a hash, and their successors sealed."""

import hashlib
import re

import pytest
from cryptography.exceptions import InvalidTag

from auth_common.security.refresh_tokens import (
    LONGEST,
    hash_refresh_token,
    new_refresh_token,
    open_successor,
    seal_successor,
)

pytestmark = pytest.mark.sessions


@pytest.mark.asvs("7.2.3", "11.5.1")
def test_a_token_has_256_random_bits_and_a_prefix_that_scanners_know():
    token = new_refresh_token()
    assert re.fullmatch(r"rt_[A-Za-z0-9_-]{43}", token)
    assert len(token) <= LONGEST
    assert len({new_refresh_token() for _ in range(100)}) == 100


def test_stored_is_the_sha256():
    assert hash_refresh_token("rt_x") == hashlib.sha256(b"rt_x").digest()


def test_whoever_holds_the_spent_token_opens_its_successor():
    spent, successor = new_refresh_token(), new_refresh_token()
    assert open_successor(seal_successor(successor, under=spent), under=spent) == successor


def test_nobody_else_opens_it():
    """The database holds the sealed successor and the hash of the spent token: neither helps."""
    spent, successor = new_refresh_token(), new_refresh_token()
    sealed = seal_successor(successor, under=spent)
    assert successor.encode() not in sealed
    for other in (new_refresh_token(), hash_refresh_token(spent).hex(), ""):
        with pytest.raises(InvalidTag):
            open_successor(sealed, under=other)


@pytest.mark.asvs("11.2.5", "11.3.3")
def test_a_changed_seal_does_not_open():
    spent = new_refresh_token()
    sealed = bytearray(seal_successor(new_refresh_token(), under=spent))
    sealed[-1] ^= 1
    with pytest.raises(InvalidTag):
        open_successor(bytes(sealed), under=spent)


@pytest.mark.asvs("11.3.4")
def test_two_seals_differ_and_fit_their_column():
    spent, successor = new_refresh_token(), new_refresh_token()
    seals = {seal_successor(successor, under=spent) for _ in range(10)}
    assert len(seals) == 10
    assert {len(seal) for seal in seals} == {12 + 46 + 16}
