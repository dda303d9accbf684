"""``uv run keys``: after a rotation the new key signs, old tokens stay valid, and both keys are available as PEM."""

import json
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from sqlalchemy.exc import OperationalError

from auth_common.audit.reading import read_audit_records
from auth_common.audit_log.store import AuditQuery
from auth_common.keys import verification_keys
from auth_common.keys.jwk import public_jwk
from tests.support.databases import sqlalchemy_listener, start_fresh_environment
from tests.support.events import proxy_event
from tests.support.factories import get_user, log_in, refresh, sign_up
from tests.support.functions import authorize, call, kid_of
from tests.support.log_lines import flatten_event
from tests.support.runtime import run_project_command
from tools.operators.keys import main

pytestmark = pytest.mark.keys


@pytest.fixture
def account(database):
    return sign_up()


class ConflictError(Exception):
    sqlstate = "40001"


def published():
    return {jwk["kid"]: jwk for jwk in call("jwks", proxy_event("GET", "/.well-known/jwks.json")).json["keys"]}


def rotate(capsys):
    """Rotate and return the key id that the command prints."""
    assert main(["rotate"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith(" from now on; the old key stays in the JWKS until its last token expires")
    return last.split()[2]


def test_rotation_signs_new_tokens_with_the_new_key_and_accepts_old_ones(account, capsys):
    old = kid_of(account.access_token)
    kid = rotate(capsys)
    assert kid != old
    assert kid_of(log_in().json["access_token"]) == kid
    assert kid_of(refresh(account.refresh_token).json["access_token"]) == kid
    assert list(published()) == [kid, old]
    for _ in range(2):
        assert get_user(account.id, token=account.access_token).status == 200
        rotate(capsys)


def test_old_key_is_in_the_jwks_until_its_last_token_expires(account, capsys, monkeypatch):
    old = kid_of(account.access_token)
    new = rotate(capsys)
    retired = published()[old]["exp"]
    expires = authorize(account.access_token)["context"]["expires_at"]
    assert retired >= int(expires) + 30
    monkeypatch.setattr(time, "time", lambda: retired - 1)
    assert list(published()) == [new, old]
    monkeypatch.setattr(time, "time", lambda: retired)
    assert list(published()) == [new]
    assert verification_keys.verification_key(old) is None
    assert verification_keys.verification_key(new) is not None


@pytest.mark.usefixtures("environment")
def test_rotation_is_recorded_without_the_private_key(capsys):
    """The security event is on stderr and in the audit log, and not in the command's result."""
    assert main(["rotate"]) == 0
    output, lines = capsys.readouterr()
    assert "PRIVATE" not in output
    for jwk in published().values():
        assert jwk.keys() <= {"kty", "crv", "x", "y", "use", "alg", "kid", "exp"}
    record = flatten_event(json.loads(lines.splitlines()[1])["security_event"])
    assert (record["name"], record["outcome"]) == ("sys_crypto_key_rotated", "success")
    assert record["kid"] in published()
    (stored,) = read_audit_records(AuditQuery(event="sys_crypto_key_rotated"))
    assert (stored.detail["kid"], stored.intact) == (record["kid"], True)


@pytest.mark.usefixtures("environment")
def test_public_keys_are_printed_as_pem_with_the_signing_key_first(capsys):
    first = first_public_key(capsys)
    assert main(["rotate"]) == 0
    capsys.readouterr()
    assert main(["pem", "--json"]) == 0
    pems = json.loads(capsys.readouterr().out)
    assert list(pems) == list(published())
    assert [key_id(pem) for pem in pems.values()] == list(pems)
    # A program that reads one key from the output gets the signing key.
    signing = first_public_key(capsys)
    assert signing == next(iter(published())) != first


def first_public_key(capsys):
    """Return the id of the first key in the output of ``keys pem``."""
    assert main(["pem"]) == 0
    out, _ = capsys.readouterr()
    assert "PRIVATE" not in out
    return key_id(out)


def key_id(pem):
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return public_jwk(key)["kid"]


def test_public_keys_of_a_jwk_set_are_printed_without_creating_a_key(environment, monkeypatch, capsys):
    """A gateway's operator has only the JWK Set of the service."""
    jwk = public_jwk(ec.generate_private_key(ec.SECP256R1()).public_key())
    monkeypatch.setenv("JWKS", json.dumps({"keys": [jwk]}))
    assert first_public_key(capsys) == jwk["kid"]
    assert not (environment / "keys").exists()


def test_wrong_command_line_rotates_nothing_and_shows_the_usage(environment, capsys):
    for arguments in ([], ["delete"], ["rotate", "now"]):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        assert "usage: keys" in capsys.readouterr().err, arguments
    assert not (environment / "keys").exists()


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(("setting", "value"), [("DATA_DIR", "/nonexistent/folder"), ("ACCESS_TOKEN_LIFETIME", "1")])
def test_rotation_with_a_wrong_setting_is_an_error(monkeypatch, capsys, setting, value):
    monkeypatch.setenv(setting, value)
    assert main(["rotate"]) == 1
    reason = capsys.readouterr().err
    assert reason.startswith("keys: ")
    assert value in reason or setting in reason
    assert not Path("/nonexistent").exists()


def test_installed_command_rotates_the_key(environment):
    done = run_project_command("keys rotate")
    assert done.returncode == 0, done.stderr
    assert [next(iter(published())) in line for line in done.stdout.splitlines()] == [True]
    assert "sys_crypto_key_rotated" in done.stderr


@pytest.mark.usefixtures("environment")
def test_rotation_that_cannot_be_recorded_changes_no_key(monkeypatch):
    """If the database is unavailable, the old key signs further tokens and no new key is published."""
    assert main(["rotate"]) == 0
    before = set(published())
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://service@127.0.0.1:9/auth")
    start_fresh_environment()
    assert main(["rotate"]) == 1
    assert set(published()) == before


@pytest.mark.usefixtures("environment")
def test_conflict_in_the_audit_log_rotates_only_once():
    """The transaction is retried, but it does not create a second key."""
    commits = []
    assert main(["rotate"]) == 0
    before = set(published())

    def conflict_once(_connection):
        commits.append(1)
        if len(commits) == 1:
            raise OperationalError("COMMIT", None, ConflictError())

    with sqlalchemy_listener("commit", conflict_once):
        assert main(["rotate"]) == 0
    assert len(commits) > 1
    (new,) = set(published()) - before
    (newest, _) = read_audit_records(AuditQuery(event="sys_crypto_key_rotated"))[::-1]
    assert newest.detail["kid"] == new


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("setting", "value"), [("SIGNING_KEY_ARN", "arn:aws:kms:eu-central-1:123456789012:key/1"), ("JWKS", '{"keys": []}')]
)
def test_rotation_of_keys_that_are_not_in_the_data_folder_is_an_error(environment, monkeypatch, capsys, setting, value):
    """With these settings the service signs with a key in KMS or verifies with the keys in JWKS, not with files."""
    monkeypatch.setenv(setting, value)
    assert main(["rotate"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert setting in err
    assert "sys_crypto_key_rotated" not in err
    assert not (environment / "keys").exists()
    monkeypatch.delenv(setting)
    start_fresh_environment()
    assert read_audit_records(AuditQuery(event="sys_crypto_key_rotated")) == []
