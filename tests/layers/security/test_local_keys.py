"""The local stage's signing key: made at first use, replaced by a rotation that no token notices."""

import json
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from auth_common.errors import InvalidToken, Misconfigured, ServiceUnavailable
from auth_common.security.access_tokens import verify_access_token
from auth_common.security.jwk import public_jwk
from auth_common.security.local_keys import local_signing_key, rotate_local_key
from auth_common.security.signing_keys import signing_key
from auth_common.security.verification_keys import published_jwks
from tests.support.databases import start_fresh_environment
from tests.support.forged_tokens import forger

pytestmark = pytest.mark.keys

PROJECT = Path(__file__).parents[3]

#: Signs and verifies until it has seen ten keys, in a process of its own, as a function does during rotations.
CALLER = """
from auth_common.security.access_tokens import verify_access_token
from tests.support.forged_tokens import forger
kids = set()
while len(kids) < 10:
    thief = forger()
    verify_access_token(thief.token())
    kids.add(thief.kid)
"""


@pytest.fixture
def keys(environment):
    return environment / "keys"


def published_kids():
    return [jwk["kid"] for jwk in published_jwks()["keys"]]


def test_the_first_use_makes_key_and_jwk_set(keys):
    key = local_signing_key()
    assert isinstance(key.curve, ec.SECP256R1)
    assert sorted(path.name for path in keys.iterdir()) == ["jwks.json", "rotate.lock", "signing-key.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()} == {0o600}
    assert json.loads((keys / "jwks.json").read_text()) == {"keys": [public_jwk(key.public_key())]}


def test_a_second_environment_uses_the_same_key(keys):
    kid = signing_key().kid
    start_fresh_environment()
    assert signing_key().kid == kid


def test_a_lost_jwk_set_is_published_again(keys):
    kid = signing_key().kid
    (keys / "jwks.json").unlink()
    start_fresh_environment()
    assert signing_key().kid == kid
    assert published_kids() == [kid]


def as_pem(key, encryption=None):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption or serialization.NoEncryption()
    )


@pytest.mark.asvs("11.6.1")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no PEM",
        as_pem(ed25519.Ed25519PrivateKey.generate()),
        as_pem(ec.generate_private_key(ec.SECP384R1())),
        as_pem(ec.generate_private_key(ec.SECP256R1()), serialization.BestAvailableEncryption(b"passphrase")),
    ],
    ids=["empty", "nonsense", "ed25519", "P-384", "encrypted"],
)
def test_signing_key_that_cannot_sign_is_misconfigured_and_named(keys, content):
    keys.mkdir()
    (keys / "signing-key.pem").write_bytes(content)
    (keys / "signing-key.pem").chmod(0o600)
    with pytest.raises(Misconfigured, match=r"signing-key\.pem"):
        signing_key()


def test_lost_signing_key_is_replaced_and_no_token_is_rejected(keys):
    old = forger()
    (keys / "signing-key.pem").unlink()
    start_fresh_environment()
    new = forger()
    assert new.kid != old.kid
    assert verify_access_token(new.token()).role == "user"
    assert verify_access_token(old.token()).role == "user"
    retired = next(jwk for jwk in published_jwks()["keys"] if jwk["kid"] == old.kid)
    assert retired["exp"] <= int(time.time()) + 900 + 30


def test_restored_signing_key_that_was_retired_signs_again(keys):
    old = forger()
    pem = (keys / "signing-key.pem").read_bytes()
    rotate_local_key()
    (keys / "signing-key.pem").write_bytes(pem)
    start_fresh_environment()
    assert signing_key().kid == old.kid
    (current,) = [jwk for jwk in published_jwks()["keys"] if "exp" not in jwk]
    assert current["kid"] == old.kid


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"keys": [1]}', '{"keys": [{"kid": 1}]}', '{"keys": [{"exp": "x"}]}']
)
def test_jwk_set_that_is_none_is_misconfigured_and_named(keys, content):
    signing_key()
    (keys / "jwks.json").write_text(content)
    start_fresh_environment()
    with pytest.raises(Misconfigured, match=r"jwks\.json"):
        signing_key()
    with pytest.raises(Misconfigured, match=r"jwks\.json"):
        rotate_local_key()


def test_jwk_set_that_cannot_be_read_is_misconfigured_and_named(keys):
    (keys / "jwks.json").mkdir(parents=True)
    with pytest.raises(Misconfigured, match=r"jwks\.json"):
        published_jwks()


def test_keys_folder_that_cannot_be_written_is_unavailable(keys):
    signing_key()
    (keys / "rotate.lock").unlink()
    (keys / "rotate.lock").mkdir()
    with pytest.raises(ServiceUnavailable):
        rotate_local_key()


def test_after_a_rotation_new_tokens_have_the_new_key_and_old_ones_stay_valid(keys):
    old = forger()
    kid = rotate_local_key()
    new = forger()
    assert new.kid == kid != old.kid
    assert verify_access_token(new.token()).role == "user"
    assert verify_access_token(old.token()).role == "user"
    assert published_kids() == [new.kid, old.kid]


def test_a_retired_key_leaves_when_its_last_token_has_expired(keys):
    old = forger()
    before = int(time.time())
    new_kid = rotate_local_key()
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


def test_rotating_twice_keeps_the_first_retirement_date(keys):
    old = forger()
    rotate_local_key()
    first = next(jwk["exp"] for jwk in published_jwks()["keys"] if jwk["kid"] == old.kid)
    rotate_local_key()
    assert next(jwk["exp"] for jwk in published_jwks()["keys"] if jwk["kid"] == old.kid) == first
    assert len(published_kids()) == 3


def test_a_rotation_leaves_no_drafts_and_no_open_files(keys):
    rotate_local_key()
    assert sorted(path.name for path in keys.iterdir()) == ["jwks.json", "rotate.lock", "signing-key.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()} == {0o600}


def test_callers_in_other_processes_never_notice_a_rotation(keys):
    local_signing_key()
    callers = [
        subprocess.Popen([sys.executable, "-c", CALLER], cwd=PROJECT, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    deadline = time.monotonic() + 60
    while any(caller.poll() is None for caller in callers) and time.monotonic() < deadline:
        rotate_local_key()
        time.sleep(0.01)
    for caller in callers:
        caller.kill()  # one that has ended does not notice
    assert [(caller.communicate()[1], caller.returncode) for caller in callers] == [("", 0), ("", 0)]
