"""Secrets Manager throttles, hangs or is unreachable: running environments have their secrets, new ones return 503."""

import boto3
import pytest

from tests.support.aws_services import with_each_outage
from tests.support.databases import start_fresh_environment
from tests.support.factories import get_user, log_in, register, sign_up
from tests.support.faults import assert_no_partial_changes, is_unavailable, stored_rows

pytestmark = [pytest.mark.keys, pytest.mark.fault]

SERVICE = "secretsmanager"


@pytest.fixture(autouse=True)
def _secrets_are_there(aws, database, monkeypatch, impatient_boto):
    for name in ("PEPPER_SECRET_ARN", "AUDIT_KEY_SECRET_ARN"):
        secret = boto3.client(SERVICE).create_secret(Name=name, SecretString=name * 4)
        monkeypatch.setenv(name, secret["ARN"])
    start_fresh_environment()


with_each_trouble = with_each_outage(SERVICE)


@pytest.mark.threat("secrets-away")
@with_each_trouble
def test_environment_with_cached_secrets_serves_requests(database, trouble):
    account = sign_up()
    with trouble():
        assert log_in().status == 200
        assert log_in(password="another password entirely").status == 401
        assert get_user(account.id, token=account.access_token).status == 200
    assert_no_partial_changes(database)


@with_each_trouble
def test_new_environment_without_secrets_is_503_and_recovers(database, trouble):
    sign_up()
    before = stored_rows(database)
    start_fresh_environment()
    with trouble():
        assert is_unavailable(log_in())
        assert is_unavailable(register(email="second@example.com"))
    assert stored_rows(database) == before
    assert log_in().status == 200
    assert register(email="second@example.com").status == 201
    assert_no_partial_changes(database)
