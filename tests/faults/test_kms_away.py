"""KMS throttles, hangs or is away while somebody logs in: 503, nothing left behind, and no restart afterwards."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import botocore.endpoint
import pytest

from auth_common.db.tables import audit_events, refresh_tokens, sessions
from auth_common.security import aws_calls
from auth_common.security.jwk import public_jwk
from auth_common.security.kms_key import KMSKey
from tests.support.databases import start_fresh_environment
from tests.support.factories import get_user, log_in, refresh, sign_up
from tests.support.faults import assert_nothing_half_done, is_unavailable
from tests.support.kms import elsewhere, refusing
from tests.support.passkeys import begin_login, complete_login, enrol
from tests.support.throttles import failures

pytestmark = pytest.mark.fault


@pytest.fixture(autouse=True)
def _kms_signs(key_arn, database, monkeypatch):
    jwk = public_jwk(KMSKey(key_arn).public_key())
    monkeypatch.setenv("JWKS", json.dumps({"keys": [jwk]}))
    monkeypatch.setattr(aws_calls, "_TIMEOUT", 0.2)
    # The pauses between boto's own tries: it makes three.
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None))
    start_fresh_environment()


@contextmanager
def silence() -> Iterator[None]:
    """Somebody listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener, elsewhere(f"http://127.0.0.1:{listener.getsockname()[1]}"):
        yield


in_trouble = pytest.mark.parametrize(
    "trouble",
    [lambda: refusing("ThrottlingException"), silence, lambda: elsewhere("http://127.0.0.1:9")],
    ids=["throttled", "hanging", "away"],
)


def contents(database):
    return [database.count(table) for table in (sessions, refresh_tokens, audit_events)], failures(database)


@in_trouble
def test_a_login_and_a_refresh_are_503_and_leave_nothing_behind(database, trouble):
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
def test_a_login_with_a_passkey_is_503_and_costs_no_attempt(database, trouble):
    holder = enrol()
    before = contents(database)
    ceremony = begin_login(holder.give_password())
    credential = holder.authenticator.authenticate(ceremony["options"])
    first_factor = contents(database)
    with trouble():
        assert is_unavailable(log_in())
        assert is_unavailable(complete_login(ceremony, credential))
    assert contents(database) == first_factor
    assert first_factor[1] == before[1]
    assert holder.log_in().status == 200
    assert holder.log_in_alone().status == 200
    assert_nothing_half_done(database)


@in_trouble
def test_an_environment_that_starts_meanwhile_recovers(database, trouble):
    sign_up()
    start_fresh_environment()
    with trouble():
        assert is_unavailable(log_in())
    assert log_in().status == 200


def test_two_throttled_tries_are_not_noticed(database):
    with refusing("ThrottlingException", times=2):
        sign_up()
