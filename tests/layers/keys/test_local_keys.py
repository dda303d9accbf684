"""The signing key of the local stage: created at the first use, and rotated while tokens stay valid."""

import errno
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from auth_common.errors import InvalidToken, Misconfigured, ServiceUnavailable
from auth_common.keys.jwk import public_jwk
from auth_common.keys.local_keys import local_signing_key, rotate_local_key
from auth_common.keys.signing_key import signing_key
from auth_common.keys.verification_keys import published_jwks
from auth_common.tokens.access_tokens import verify_access_token
from tests.support.databases import start_fresh_environment
from tests.support.forged_tokens import forger_with_stolen_key
from tests.support.processes import TIMEOUT_SECONDS

pytestmark = pytest.mark.keys

PROJECT = Path(__file__).parents[3]

#: Signs and verifies tokens in its own process, like a function during rotations, until ten keys were used.
CALLER = """
from auth_common.tokens.access_tokens import verify_access_token
from tests.support.forged_tokens import forger_with_stolen_key
kids = set()
while len(kids) < 10:
    stolen = forger_with_stolen_key()
    verify_access_token(stolen.token())
    kids.add(stolen.kid)
"""


@pytest.fixture
def keys(environment):
    return environment / "keys"


def is_verified(signer):
    return verify_access_token(signer.token()).role == "user"


def published_kids():
    return [jwk["kid"] for jwk in published_jwks()["keys"]]


def test_first_key_is_published_and_rotated_without_leftover_files(keys):
    key = local_signing_key()
    assert isinstance(key.curve, ec.SECP256R1)
    assert json.loads((keys / "jwks.json").read_text()) == {"keys": [public_jwk(key.public_key())]}
    for change in (local_signing_key, rotate_local_key):
        change()
        assert sorted(path.name for path in keys.iterdir()) == ["jwks.json", "rotate.lock", "signing-key.pem"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()} == {0o600}


def test_second_environment_uses_same_key_and_republishes_lost_set(keys):
    kid = signing_key().kid
    start_fresh_environment()
    assert signing_key().kid == kid
    (keys / "jwks.json").unlink()
    start_fresh_environment()
    assert signing_key().kid == kid
    assert published_kids() == [kid]


def as_pem(key, password=None):
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


UNUSABLE_KEYS = {
    "empty": b"",
    "nonsense": b"no PEM",
    "ed25519": as_pem(ed25519.Ed25519PrivateKey.generate()),
    "P-384": as_pem(ec.generate_private_key(ec.SECP384R1())),
    "encrypted": as_pem(ec.generate_private_key(ec.SECP256R1()), b"passphrase"),
}


@pytest.mark.asvs("11.6.1")
@pytest.mark.parametrize("content", UNUSABLE_KEYS.values(), ids=UNUSABLE_KEYS)
def test_unusable_signing_key_is_misconfigured_and_named(keys, content):
    keys.mkdir()
    (keys / "signing-key.pem").write_bytes(content)
    (keys / "signing-key.pem").chmod(0o600)
    with pytest.raises(Misconfigured, match=r"signing-key\.pem"):
        signing_key()


def test_lost_signing_key_is_replaced_and_old_tokens_stay_valid(keys):
    old = forger_with_stolen_key()
    (keys / "signing-key.pem").unlink()
    start_fresh_environment()
    new = forger_with_stolen_key()
    assert new.kid != old.kid
    assert is_verified(new)
    assert is_verified(old)
    retired = next(jwk for jwk in published_jwks()["keys"] if jwk["kid"] == old.kid)
    assert retired["exp"] <= int(time.time()) + 900 + 30


def test_restored_signing_key_signs_again(keys):
    old = forger_with_stolen_key()
    pem = (keys / "signing-key.pem").read_bytes()
    rotate_local_key()
    (keys / "signing-key.pem").write_bytes(pem)
    start_fresh_environment()
    assert signing_key().kid == old.kid
    (current,) = [jwk for jwk in published_jwks()["keys"] if "exp" not in jwk]
    assert current["kid"] == old.kid


NO_JWK_SETS = ["", "{}", "[]", '{"keys": [1]}', '{"keys": [{"kid": 1}]}', '{"keys": [{"exp": "x"}]}']


@pytest.mark.parametrize("content", NO_JWK_SETS)
def test_invalid_jwk_set_is_misconfigured_and_named(keys, content):
    signing_key()
    (keys / "jwks.json").write_text(content)
    start_fresh_environment()
    for use in (signing_key, rotate_local_key):
        with pytest.raises(Misconfigured, match=r"jwks\.json"):
            use()


def test_unreadable_jwk_set_is_misconfigured_and_named(keys):
    (keys / "jwks.json").mkdir(parents=True)
    with pytest.raises(Misconfigured, match=r"jwks\.json"):
        published_jwks()


def test_set_whose_state_cannot_be_read_is_not_replaced(keys, monkeypatch):
    """Otherwise tokens of the key before a rotation would become invalid, because of an error that passes."""
    rotate_local_key()
    before = published_kids()
    assert len(before) == 2
    state_of = Path.stat

    def fail(path, **options):
        if path.name == "jwks.json":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return state_of(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", fail)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            local_signing_key()
    assert published_kids() == before


def test_unwritable_keys_folder_is_unavailable(keys):
    signing_key()
    (keys / "rotate.lock").unlink()
    (keys / "rotate.lock").mkdir()
    with pytest.raises(ServiceUnavailable):
        rotate_local_key()


def test_rotation_keeps_old_tokens_valid_until_they_expire(keys):
    old = forger_with_stolen_key()
    before = int(time.time())
    new_kid = rotate_local_key()
    new = forger_with_stolen_key()
    assert new.kid == new_kid != old.kid
    assert is_verified(new)
    assert is_verified(old)
    assert published_kids() == [new_kid, old.kid]
    current, retired = json.loads((keys / "jwks.json").read_text())["keys"]
    assert "exp" not in current
    assert before + 900 + 30 <= retired["exp"] <= int(time.time()) + 900 + 30
    retired["exp"] = before - 1
    (keys / "jwks.json").write_text(json.dumps({"keys": [current, retired]}))
    assert published_kids() == [new_kid]
    with pytest.raises(InvalidToken):
        verify_access_token(old.token())
    newest_kid = rotate_local_key()
    assert [jwk["kid"] for jwk in json.loads((keys / "jwks.json").read_text())["keys"]] == [newest_kid, new_kid]


def test_second_rotation_keeps_the_first_retirement_date(keys):
    old = forger_with_stolen_key()
    rotate_local_key()
    first = published_jwks()["keys"]
    rotate_local_key()
    second = published_jwks()["keys"]
    assert [jwk["exp"] for jwk in second if jwk["kid"] == old.kid] == [first[1]["exp"]]
    assert len(second) == 3


def test_rotation_fails_no_request_in_other_processes(keys):
    local_signing_key()
    callers = [
        subprocess.Popen([sys.executable, "-c", CALLER], cwd=PROJECT, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while any(caller.poll() is None for caller in callers) and time.monotonic() < deadline:
        rotate_local_key()
        time.sleep(0.01)
    for caller in callers:
        caller.kill()  # does nothing if the process has ended
    assert [(caller.communicate()[1], caller.returncode) for caller in callers] == [("", 0), ("", 0)]
