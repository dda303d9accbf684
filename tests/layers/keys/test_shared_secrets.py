"""Pepper, audit key and database URL in Secrets Manager: the real client of boto3 calls moto."""

from uuid import uuid4

import boto3
import pytest

from auth_common.aws_calls import aws_client
from auth_common.errors import DatabaseUnavailable, Misconfigured, ServiceUnavailable
from auth_common.keys.keyed_hashes import account_pseudonym
from auth_common.keys.shared_secrets import audit_key, pepper
from auth_common.passwords.hashing import hash_password, verify_password
from auth_common.transactions import read
from tests.support.aws_services import REGION
from tests.support.databases import start_fresh_environment
from tests.support.events import proxy_event
from tests.support.factories import log_in, register
from tests.support.functions import call

pytestmark = [pytest.mark.keys, pytest.mark.usefixtures("deployed_settings", "aws")]

SECRET = "a" * 64
SECRETS = {"PEPPER_SECRET_ARN": pepper, "AUDIT_KEY_SECRET_ARN": audit_key}
PASSWORD = "violet anchor seventeen drums"


@pytest.fixture
def secrets_manager():
    return boto3.client("secretsmanager")


@pytest.fixture
def store(monkeypatch, secrets_manager):
    """Return a function that stores a secret, sets its ARN in a setting, and returns the ARN."""

    def store_secret(setting, text=SECRET, **value):
        arn = secrets_manager.create_secret(Name=uuid4().hex, **value or {"SecretString": text})["ARN"]
        monkeypatch.setenv(setting, arn)
        start_fresh_environment()
        return arn

    return store_secret


@pytest.fixture
def on_the_local_stage(deployed_settings, monkeypatch, environment):
    for name in ("DATABASE_URL", "WEBAUTHN_RP_ID", "WEBAUTHN_ORIGINS"):
        monkeypatch.delenv(name)
    for name, value in {"STAGE": "local", "DATA_DIR": str(environment), "BCRYPT_COST": "4"}.items():
        monkeypatch.setenv(name, value)


def select_one():
    return read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar_one())


@pytest.mark.asvs("13.3.1")
def test_secret_of_a_deployed_stage_is_read_from_secrets_manager_once(store):
    for setting, secret in SECRETS.items():
        store(setting)
        asked: list[int] = []
        events = aws_client("secretsmanager", REGION).meta.events
        events.register("before-call.secretsmanager.GetSecretValue", lambda asked=asked, **_: asked.append(1))
        assert secret() == secret() == SECRET.encode()
        assert asked == [1]


def test_password_hashes_and_pseudonyms_depend_on_the_secrets(store, monkeypatch):
    monkeypatch.setenv("BCRYPT_COST", "10")
    for setting in SECRETS:
        store(setting)
    stored, pseudonym = hash_password(PASSWORD), account_pseudonym("a@example.com")
    assert verify_password(PASSWORD, stored)
    for setting in SECRETS:
        store(setting, SECRET[::-1] + "b")
    assert not verify_password(PASSWORD, stored)
    assert account_pseudonym("a@example.com") != pseudonym


@pytest.mark.threat("secrets-weak")
@pytest.mark.parametrize(("setting", "secret"), SECRETS.items())
def test_missing_short_or_binary_secret_is_misconfigured(store, setting, secret):
    with pytest.raises(Misconfigured, match=rf"^{setting}: "):
        secret()
    for value in ({"SecretString": "a" * 31}, {"SecretBinary": b"a" * 64}):
        store(setting, **value)
        with pytest.raises(Misconfigured, match=rf"^{setting}: the secret "):
            secret()


@pytest.mark.parametrize(("setting", "secret"), SECRETS.items())
def test_unavailable_secret_is_read_again_later(monkeypatch, store, secrets_manager, setting, secret):
    monkeypatch.setenv(setting, f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:{setting}")
    with pytest.raises(ServiceUnavailable):
        secret()
    secrets_manager.create_secret(Name=setting, SecretString=SECRET)
    assert secret() == SECRET.encode()
    store(setting)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9")
    with pytest.raises(ServiceUnavailable):
        secret()


def test_changed_database_password_is_read_from_its_secret(store, monkeypatch, postgres, secrets_manager):
    """A running environment reads the secret again after the database has rejected the old password."""
    monkeypatch.delenv("DATABASE_URL")
    with postgres.new_database(migrated=False) as url:
        arn = store("DATABASE_URL_SECRET_ARN", url.replace("postgres:", "overtaken:", 1))
        with pytest.raises(DatabaseUnavailable):
            select_one()
        secrets_manager.put_secret_value(SecretId=arn, SecretString=url)
        assert select_one() == 1
        start_fresh_environment()


def test_database_secret_without_usable_url_is_misconfigured(store):
    """A URL of SQLite is not usable on a deployed stage."""
    at = "service:hunter2@"
    for url in (f"postgres://{at}h/d", f"mysql://{at}h/d", "service:hunter2", "sqlite:////x", "sqlite://"):
        store("DATABASE_URL_SECRET_ARN", url)
        with pytest.raises(Misconfigured, match=r"^DATABASE_URL_SECRET_ARN: ") as raised:
            select_one()
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("stage", ["local", "prod"])
def test_unavailable_database_of_a_secret_returns_503_in_each_stage(request, store, monkeypatch, stage):
    """On the local stage, the first connection creates the schema."""
    if stage == "local":
        request.getfixturevalue("on_the_local_stage")
    else:
        monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("DATABASE_TIMEOUT", "0.3")
    store("DATABASE_URL_SECRET_ARN", "postgresql+psycopg://service@127.0.0.1:9/service")
    answers = [call("health", proxy_event("GET", "/health")) for _ in range(2)]
    assert [(answer.status, answer.code) for answer in answers] == [(503, "service_unavailable")] * 2


@pytest.mark.parametrize("setting", [*SECRETS, "DATABASE_URL_SECRET_ARN", "SIGNING_KEY_ARN"])
@pytest.mark.usefixtures("on_the_local_stage")
def test_nonexistent_secret_or_key_returns_503_on_the_local_stage(monkeypatch, setting):
    monkeypatch.setenv(setting, "arn:aws:secretsmanager:eu-central-1:123456789012:secret:gone")
    assert {answer.status for answer in (register(), log_in())} - {201} == {503}


@pytest.mark.threat("secrets-weak")
@pytest.mark.parametrize(("file", "secret"), [("pepper", pepper), ("audit-key", audit_key)])
@pytest.mark.usefixtures("on_the_local_stage")
def test_short_secret_file_is_misconfigured_and_named(environment, file, secret):
    """A full disk or an interrupted copy leaves a short file."""
    for content in (b"", b"a" * 31):
        (environment / file).write_bytes(content)
        with pytest.raises(Misconfigured, match=file):
            secret()
        assert (environment / file).read_bytes() == content
