"""Password hashing: pepper, normalisation, bcrypt, and the hash that an unknown user costs."""

import base64
import hashlib
import hmac

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_common.errors import Misconfigured
from auth_common.security.passwords import (
    HIGHEST_COST,
    hash_password,
    needs_rehash,
    normalise_password,
    verify_password,
)
from tests.support.databases import start_fresh_environment
from tests.support.fuzzing import examples

pytestmark = [pytest.mark.passwords, pytest.mark.usefixtures("environment")]


@pytest.mark.asvs("11.4.2")
def test_the_stored_form_is_what_the_design_says(environment):
    """bcrypt(base64(HMAC-SHA-384(pepper, NFKC(password)))), computed here without our code."""
    stored = hash_password("ﬁne café")
    pepper = (environment / "pepper").read_bytes()
    digest = hmac.digest(pepper, "fine café".encode(), hashlib.sha384)
    assert bcrypt.checkpw(base64.b64encode(digest), stored.encode())
    assert len(pepper) == 32
    assert len(base64.b64encode(digest)) == 64  # below bcrypt's 72 bytes
    assert len(stored) == 60


@pytest.mark.usefixtures("deployed")
def test_a_deployed_stage_makes_no_pepper_of_its_own(monkeypatch, tmp_path):
    """Each environment would hash with another one, and nobody could log in."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    with pytest.raises(Misconfigured, match="PEPPER_SECRET_ARN"):
        hash_password("violet anchor seventeen drums")
    assert not (tmp_path / "pepper").exists()


def test_each_hash_has_a_salt_of_its_own():
    assert hash_password("one password") != hash_password("one password")


def test_the_cost_is_a_setting(monkeypatch):
    monkeypatch.setenv("BCRYPT_COST", "6")
    start_fresh_environment()
    assert hash_password("one password").startswith("$2b$06$")


@examples(50)
@given(password=st.text(st.characters(codec="utf-8")), other=st.text(st.characters(codec="utf-8")))
def test_a_password_verifies_and_another_does_not(password, other):
    stored = hash_password(password)
    assert verify_password(password, stored)
    assert verify_password(other, stored) == (normalise_password(other) == normalise_password(password))


@pytest.mark.asvs("6.2.9")
@pytest.mark.parametrize("password", ["", "\x00", "a\x00b", "\x00" * 100, "a" * 72, "a" * 100_000])
def test_nul_and_length_cut_nothing_off(password):
    stored = hash_password(password)
    assert verify_password(password, stored)
    assert not verify_password(password + "a", stored)
    assert not verify_password(password + "\x00", stored)


@pytest.mark.parametrize("written", ["Å", "A\u030a", "\u212b"])
def test_three_spellings_of_one_character_are_one_password(written):
    assert verify_password(written, hash_password("Å"))


def test_no_account_never_matches():
    assert not verify_password("any password", None)
    assert not verify_password("", None)


@pytest.mark.parametrize("cost", [HIGHEST_COST + 1, 20, 31])
def test_a_cost_above_the_cap_is_refused_unverified(cost):
    assert not verify_password("any password", f"$2b${cost}$" + "." * 53)


@pytest.mark.parametrize("prefix", ["$2a$", "$2y$"])
def test_hashes_of_older_bcrypt_versions_verify(prefix):
    stored = hash_password("one password")
    assert verify_password("one password", prefix + stored[4:])


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("$2b$03$" + "." * 53, True),
        ("$2b$04$" + "." * 53, False),
        ("$2b$05$" + "." * 53, False),
        ("$2b$16$" + "." * 53, False),
        ("no hash", False),
        ("", False),
        ("$2b$03$" + "." * 53 + "\n", False),
    ],
)
def test_a_hash_below_todays_cost_is_made_again(stored, expected):
    assert needs_rehash(stored) is expected
