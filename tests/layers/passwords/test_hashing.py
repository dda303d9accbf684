"""Password hashing: pepper, normalisation, bcrypt, and the work for an unknown user."""

import base64
import hashlib
import hmac

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_common.errors import Misconfigured
from auth_common.passwords.hashing import MAX_COST, hash_password, needs_rehash, normalise_password, verify_password
from tests.support.databases import start_fresh_environment
from tests.support.fuzzing import examples

pytestmark = [pytest.mark.passwords, pytest.mark.usefixtures("environment")]


@pytest.mark.asvs("11.4.2")
def test_stored_hash_has_the_documented_form(environment):
    """The form is bcrypt(base64(HMAC-SHA-384(pepper, NFKC(password)))). The test computes it independently."""
    stored = hash_password("ﬁne café")
    pepper = (environment / "pepper").read_bytes()
    digest = hmac.digest(pepper, "fine café".encode(), hashlib.sha384)
    assert bcrypt.checkpw(base64.b64encode(digest), stored.encode())
    assert len(pepper) == 32
    assert len(base64.b64encode(digest)) == 64  # below bcrypt's 72 bytes
    assert len(stored) == 60


@pytest.mark.usefixtures("deployed_settings")
def test_deployed_stage_creates_no_pepper(monkeypatch, tmp_path):
    """With a pepper per environment, no user could log in."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    with pytest.raises(Misconfigured, match="PEPPER_SECRET_ARN"):
        hash_password("violet anchor seventeen drums")
    assert not (tmp_path / "pepper").exists()


def test_hash_has_its_own_salt_and_the_configured_cost(monkeypatch):
    monkeypatch.setenv("BCRYPT_COST", "6")
    start_fresh_environment()
    first, second = hash_password("one password"), hash_password("one password")
    assert first != second
    assert first.startswith("$2b$06$")


@examples(50)
@given(password=st.text(st.characters(codec="utf-8")), other=st.text(st.characters(codec="utf-8")))
def test_password_verifies_and_another_does_not(password, other):
    stored = hash_password(password)
    assert verify_password(password, stored)
    assert verify_password(other, stored) == (normalise_password(other) == normalise_password(password))


@pytest.mark.asvs("6.2.9")
@pytest.mark.parametrize("password", ["", "\x00", "a\x00b", "\x00" * 100, "a" * 72, "a" * 100_000])
def test_password_with_nul_or_of_any_length_is_hashed_completely(password):
    stored = hash_password(password)
    assert verify_password(password, stored)
    assert not verify_password(password + "a", stored)
    assert not verify_password(password + "\x00", stored)


def test_password_verifies_in_any_unicode_form_and_older_hash():
    stored = hash_password("Å")
    for written in ("Å", "A\u030a", "\u212b"):
        assert verify_password(written, stored), ascii(written)
    for prefix in ("$2a$", "$2y$"):
        assert verify_password("Å", prefix + stored[4:]), prefix


def test_password_without_account_or_with_excessive_cost_is_rejected():
    costs = [f"$2b${cost}$" + "." * 53 for cost in (MAX_COST + 1, 20, 31)]
    for stored in (None, *costs):
        assert not verify_password("any password", stored), stored
    assert not verify_password("", None)


def test_only_hash_below_the_configured_cost_needs_rehash():
    rest = "." * 53
    assert needs_rehash(f"$2b$03${rest}")
    for stored in (f"$2b$04${rest}", f"$2b$05${rest}", f"$2b$16${rest}", "no hash", "", f"$2b$03${rest}\n"):
        assert not needs_rehash(stored), stored
