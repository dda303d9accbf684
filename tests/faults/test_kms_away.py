"""KMS throttles, hangs or is away while a user logs in: 503, nothing left behind, and no restart afterwards."""

import json

import pytest

from auth_common.database.tables import audit_events, refresh_tokens, sessions
from auth_common.keys.jwk import public_jwk
from auth_common.keys.kms import KMSKey
from tests.support.aws_services import each_trouble, refusing
from tests.support.databases import start_fresh_environment
from tests.support.factories import get_user, log_in, refresh, sign_up
from tests.support.faults import assert_nothing_half_done, is_unavailable
from tests.support.passkeys import begin_login, complete_login, enrol
from tests.support.throttles import failures

pytestmark = [pytest.mark.keys, pytest.mark.fault]


@pytest.fixture(autouse=True)
def _kms_signs(key_arn, database, monkeypatch, impatient_boto):
    jwk = public_jwk(KMSKey(key_arn).public_key())
    monkeypatch.setenv("JWKS", json.dumps({"keys": [jwk]}))
    start_fresh_environment()


in_trouble = each_trouble("kms")


def contents(database):
    return [database.count(table) for table in (sessions, refresh_tokens, audit_events)], failures(database)


@pytest.mark.threat("signing-key-away")
@in_trouble
def test_login_and_refresh_are_503_and_leave_nothing_behind(database, trouble):
    person = sign_up()
    before = contents(database)
    with trouble():
        answers = [log_in(), refresh(person.refresh_token)]
        # Who is logged in stays so: verifying takes no KMS.
        assert get_user(person.id, token=person.access_token).status == 200
    assert all(map(is_unavailable, answers))
    assert contents(database) == before
    assert refresh(person.refresh_token).status == 200
    assert log_in().status == 200
    assert_nothing_half_done(database)


@in_trouble
def test_login_with_a_passkey_is_503_and_counts_no_attempt(database, trouble):
    holder = enrol()
    ceremony = begin_login(holder.give_password())
    credential = holder.authenticator.authenticate(ceremony["options"])
    before = contents(database)
    with trouble():
        assert is_unavailable(log_in())
        assert is_unavailable(complete_login(ceremony, credential))
    assert contents(database) == before
    assert holder.log_in().status == 200
    assert holder.log_in_alone().status == 200
    assert_nothing_half_done(database)


@in_trouble
def test_environment_that_starts_while_kms_is_away_recovers(database, trouble):
    sign_up()
    start_fresh_environment()
    with trouble():
        assert is_unavailable(log_in())
    assert log_in().status == 200


def test_kms_that_throttles_twice_is_not_noticed(database):
    with refusing("ThrottlingException", times=2):
        sign_up()
