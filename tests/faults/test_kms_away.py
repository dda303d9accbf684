"""KMS throttles, hangs or is unreachable during a login: 503, nothing is stored, and no restart is needed."""

import json

import pytest

from auth_common.keys.jwk import public_jwk
from auth_common.keys.kms import KMSKey
from tests.support.aws_services import returning_error, with_each_outage
from tests.support.databases import start_fresh_environment
from tests.support.factories import get_user, log_in, refresh, sign_up
from tests.support.faults import assert_no_partial_changes, is_unavailable, stored_rows
from tests.support.passkeys import begin_login, complete_login, enrol
from tests.support.throttles import attempt_counts

pytestmark = [pytest.mark.keys, pytest.mark.fault]


@pytest.fixture(autouse=True)
def _kms_signs(key_arn, database, monkeypatch, impatient_boto):
    jwk = public_jwk(KMSKey(key_arn).public_key())
    monkeypatch.setenv("JWKS", json.dumps({"keys": [jwk]}))
    start_fresh_environment()


with_each_trouble = with_each_outage("kms")


@pytest.mark.threat("signing-key-away")
@with_each_trouble
def test_login_and_refresh_without_kms_are_503_and_store_nothing(database, trouble):
    account = sign_up()
    before = stored_rows(database), attempt_counts(database)
    with trouble():
        responses = [log_in(), refresh(account.refresh_token)]
        # Access tokens are verified without KMS.
        assert get_user(account.id, token=account.access_token).status == 200
    assert all(map(is_unavailable, responses))
    assert (stored_rows(database), attempt_counts(database)) == before
    assert refresh(account.refresh_token).status == 200
    assert log_in().status == 200
    assert_no_partial_changes(database)


@with_each_trouble
def test_passkey_login_without_kms_is_503_and_counts_no_attempt(database, trouble):
    holder = enrol()
    ceremony = begin_login(holder.get_mfa_token())
    credential = holder.authenticator.authenticate(ceremony["options"])
    before = stored_rows(database), attempt_counts(database)
    with trouble():
        assert is_unavailable(log_in())
        assert is_unavailable(complete_login(ceremony, credential))
    assert (stored_rows(database), attempt_counts(database)) == before
    assert holder.log_in().status == 200
    assert holder.log_in_with_passkey_alone().status == 200
    assert_no_partial_changes(database)


@with_each_trouble
def test_new_environment_without_kms_is_503_and_recovers(database, trouble):
    sign_up()
    start_fresh_environment()
    with trouble():
        assert is_unavailable(log_in())
    assert log_in().status == 200


def test_login_with_two_throttled_kms_calls_succeeds(database):
    with returning_error("ThrottlingException", times=2):
        sign_up()
