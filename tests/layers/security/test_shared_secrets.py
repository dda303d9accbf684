"""Pepper, audit key and database URL in Secrets Manager: boto3's real client before moto's."""

import boto3
import pytest

from auth_common.db.engine import read
from auth_common.errors import DatabaseUnavailable, Misconfigured, ServiceUnavailable
from auth_common.security.aws_calls import aws_client
from auth_common.security.keyed_hashes import account_pseudonym
from auth_common.security.passwords import hash_password, verify_password
from auth_common.security.shared_secrets import audit_key, pepper
from tests.support.aws_services import REGION
from tests.support.databases import start_fresh_environment
from tests.support.events import proxy_event
from tests.support.factories import log_in, register
from tests.support.functions import call

pytestmark = [pytest.mark.keys, pytest.mark.usefixtures("deployed", "aws")]

SECRET = "a" * 64
each_secret = pytest.mark.parametrize(
    ("setting", "secret"), [("PEPPER_SECRET_ARN", pepper), ("AUDIT_KEY_SECRET_ARN", audit_key)]
)


@pytest.fixture
def store(monkeypatch):
    """Stores a secret, and names it in a setting."""

    def store_secret(setting, **value):
        arn = boto3.client("secretsmanager").create_secret(Name=setting, **value)["ARN"]
        monkeypatch.setenv(setting, arn)

    return store_secret


@pytest.mark.asvs("13.3.1")
@each_secret
def test_a_deployed_stage_has_it_from_secrets_manager(store, setting, secret):
    store(setting, SecretString=SECRET)
    assert secret() == SECRET.encode()


def test_passwords_and_pseudonyms_hang_on_them(store, monkeypatch):
    store("PEPPER_SECRET_ARN", SecretString=SECRET)
    store("AUDIT_KEY_SECRET_ARN", SecretString=SECRET)
    stored, pseudonym = hash_password("violet anchor seventeen drums"), account_pseudonym("a@example.com")
    for name in ("PEPPER_SECRET_ARN", "AUDIT_KEY_SECRET_ARN"):
        boto3.client("secretsmanager").put_secret_value(SecretId=name, SecretString=SECRET[::-1] + "b")
    assert verify_password("violet anchor seventeen drums", stored)  # an environment asks once
    start_fresh_environment()
    assert not verify_password("violet anchor seventeen drums", stored)
    assert account_pseudonym("a@example.com") != pseudonym


@each_secret
def test_it_is_asked_for_once_an_environment(store, setting, secret):
    store(setting, SecretString=SECRET)
    asked = []
    events = aws_client("secretsmanager", REGION).meta.events
    events.register("before-call.secretsmanager.GetSecretValue", lambda **_: asked.append(setting))
    assert secret() == secret()
    assert asked == [setting]


@each_secret
def test_without_a_name_for_it_a_deployed_stage_is_misconfigured(setting, secret):
    with pytest.raises(Misconfigured, match=rf"^{setting}: "):
        secret()


@pytest.mark.threat("secrets-weak")
@each_secret
@pytest.mark.parametrize("value", [{"SecretString": "a" * 31}, {"SecretBinary": b"a" * 64}], ids=["short", "binary"])
def test_one_that_was_not_made_as_the_template_makes_it_is_refused(store, setting, secret, value):
    store(setting, **value)
    with pytest.raises(Misconfigured, match=rf"^{setting}: the secret "):
        secret()


@each_secret
def test_a_secret_that_is_not_there_is_a_service_unavailable_and_asked_for_again(monkeypatch, store, setting, secret):
    monkeypatch.setenv(setting, f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:{setting}")
    with pytest.raises(ServiceUnavailable):
        secret()
    boto3.client("secretsmanager").create_secret(Name=setting, SecretString=SECRET)
    assert secret() == SECRET.encode()


@each_secret
def test_a_secrets_manager_that_is_away_is_a_service_unavailable(monkeypatch, store, setting, secret):
    store(setting, SecretString=SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9")
    with pytest.raises(ServiceUnavailable):
        secret()


def test_the_database_may_be_named_by_a_secret(store, monkeypatch, postgres):
    monkeypatch.delenv("DATABASE_URL")
    with postgres.new_database(migrated=False) as url:
        store("DATABASE_URL_SECRET_ARN", SecretString=url)
        assert read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar_one()) == 1
        start_fresh_environment()


def test_an_environment_that_runs_takes_the_new_password_when_the_old_one_works_no_more(store, monkeypatch, postgres):
    monkeypatch.delenv("DATABASE_URL")

    def select_one():
        return read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar_one())

    with postgres.new_database(migrated=False) as url:
        old = url.replace("postgres:", "overtaken:", 1)
        store("DATABASE_URL_SECRET_ARN", SecretString=old)
        with pytest.raises(DatabaseUnavailable):
            select_one()
        boto3.client("secretsmanager").put_secret_value(SecretId="DATABASE_URL_SECRET_ARN", SecretString=url)
        assert select_one() == 1
        start_fresh_environment()


def test_a_secret_cannot_bring_sqlite_into_a_deployed_stage(store):
    store("DATABASE_URL_SECRET_ARN", SecretString="sqlite://")
    with pytest.raises(Misconfigured, match=r"^DATABASE_URL_SECRET_ARN: "):
        read(lambda connection: connection)


@pytest.mark.parametrize("stage", ["local", "prod"])
def test_database_away_that_a_secret_names_returns_503_in_each_stage(store, monkeypatch, tmp_path, stage):
    """On the local stage the first connection is the one that makes the schema."""
    monkeypatch.setenv("STAGE", stage)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_TIMEOUT", "0.3")
    monkeypatch.delenv("DATABASE_URL")
    store("DATABASE_URL_SECRET_ARN", SecretString="postgresql+psycopg://service@127.0.0.1:9/service")
    answers = [call("health", proxy_event("GET", "/health")) for _ in range(2)]
    assert [(answer.status, answer.code) for answer in answers] == [(503, "service_unavailable")] * 2


@pytest.mark.parametrize(
    "setting", ["DATABASE_URL_SECRET_ARN", "PEPPER_SECRET_ARN", "AUDIT_KEY_SECRET_ARN", "SIGNING_KEY_ARN"]
)
def test_secret_or_key_that_does_not_exist_returns_503_on_the_local_stage(monkeypatch, tmp_path, setting):
    for name in ("DATABASE_URL", "WEBAUTHN_RP_ID", "WEBAUTHN_ORIGINS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("STAGE", "local")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("BCRYPT_COST", "4")
    monkeypatch.setenv(setting, "arn:aws:secretsmanager:eu-central-1:123456789012:secret:gone")
    assert {answer.status for answer in (register(), log_in())} - {201} == {503}


@pytest.mark.threat("secrets-weak")
@pytest.mark.parametrize(("file", "secret"), [("pepper", pepper), ("audit-key", audit_key)])
@pytest.mark.parametrize("content", [b"", b"a" * 31], ids=["empty", "short"])
def test_secret_file_that_is_too_short_is_misconfigured_and_named(monkeypatch, environment, file, secret, content):
    """A disk was full, or a copy was cut off."""
    monkeypatch.setenv("STAGE", "local")
    monkeypatch.setenv("DATA_DIR", str(environment))
    (environment / file).write_bytes(content)
    with pytest.raises(Misconfigured, match=file):
        secret()
    assert (environment / file).read_bytes() == content


@pytest.mark.parametrize(
    "url",
    [f"postgres://service:{'hunter2'}@h/d", f"mysql://service:{'hunter2'}@h/d", "service:hunter2", "sqlite:////x"],
)
def test_database_secret_that_is_no_usable_url_is_misconfigured_and_named(store, monkeypatch, url):
    monkeypatch.delenv("DATABASE_URL")
    store("DATABASE_URL_SECRET_ARN", SecretString=url)
    with pytest.raises(Misconfigured, match=r"^DATABASE_URL_SECRET_ARN: ") as raised:
        read(lambda connection: connection)
    assert "hunter2" not in str(raised.value)
