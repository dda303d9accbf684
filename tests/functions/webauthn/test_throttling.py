"""Logins with passkeys that fail again and again: all second factors of an account share one counter."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from auth_common.db.tables import audit_events, challenges, throttles, users
from auth_common.errors import ServiceUnavailable
from auth_common.security.audit_protection import throttle_key
from auth_common.services import accounts
from auth_common.services import sessions as session_service
from auth_common.services.erasure import erase_user
from tests.support.databases import start_fresh_environment
from tests.support.events import SOURCE_IP
from tests.support.factories import EMAIL, log_in
from tests.support.passkeys import (
    ORIGIN,
    anonymously,
    as_bearer,
    begin_login,
    begin_registration,
    complete_login,
    enrol,
)
from tests.support.throttles import ELSEWHERE, let_locks_end
from tools.software_authenticator import SoftwareAuthenticator

pytestmark = [pytest.mark.passkeys, pytest.mark.throttling]


@pytest.fixture(autouse=True)
def budgets(database, monkeypatch):
    monkeypatch.setenv("THROTTLE_SECOND_FACTOR_PER_ACCOUNT", "3")
    monkeypatch.setenv("THROTTLE_PASSKEY_PER_SOURCE", "6")
    start_fresh_environment()


def broken(holder, ceremony):
    credential = deepcopy(holder.authenticator.authenticate(ceremony["options"]))
    credential["response"]["signature"] = "AAAA"
    return credential


def fail(holder, *, alone=False):
    ceremony = begin_login(None if alone else holder.give_password())
    return complete_login(ceremony, broken(holder, ceremony))


def failures(database, name, subject):
    statement = select(throttles.c.failures).where(throttles.c.key == throttle_key(name, str(subject)))
    return database.execute(statement)


def test_an_account_has_a_budget_of_second_factors(holder):
    assert [fail(holder).status for _ in range(3)] == [401] * 3
    answer = anonymously("/webauthn/login/begin", {"mfa_token": holder.give_password()})
    assert (answer.status, answer.code) == (429, "too_many_attempts")
    assert answer.headers["ratelimit-policy"] == '"second_factor";q=3;w=34560000'


def test_a_ceremony_that_began_before_the_lock_does_not_get_past_it(holder):
    ceremony = begin_login(holder.give_password())
    for _ in range(3):
        fail(holder)
    assert complete_login(ceremony, holder.authenticator.authenticate(ceremony["options"])).status == 429


@pytest.mark.asvs("6.3.1")
def test_all_second_factors_share_one_counter(database, holder):
    """Two passkeys: what one of them has used up is not there for the other."""
    token = holder.log_in().json["access_token"]
    ceremony = begin_registration(token)
    second = SoftwareAuthenticator(origin=ORIGIN)
    body = {"challenge_id": ceremony["challenge_id"], "credential": second.register(ceremony["options"])}
    assert as_bearer(token, "POST", "/webauthn/register/complete", body).status == 201
    fail(holder)
    fail(holder)
    ceremony = begin_login(holder.give_password())
    credential = second.authenticate(ceremony["options"])
    credential["response"]["signature"] = "AAAA"
    assert complete_login(ceremony, credential).status == 401
    assert failures(database, "second_factor", holder.account.id) == [(3,)]
    assert anonymously("/webauthn/login/begin", {"mfa_token": holder.give_password()}).status == 429


def test_an_mfa_token_that_was_overtaken_does_not_lock_its_owners_second_factor(database, holder):
    """Whoever has kept one could replay it for five minutes. It counts for their address."""
    overtaken = holder.give_password()
    accounts.end_sessions_of(EMAIL)
    assert [begin({"mfa_token": overtaken}, sourceIp=ELSEWHERE).status for _ in range(7)] == [401] * 6 + [429]
    assert failures(database, "passkey_source", ELSEWHERE) == [(6,)]
    assert failures(database, "second_factor", holder.account.id) == []
    assert holder.log_in().status == 200


def test_a_success_clears_it_and_not_the_sources(database, holder):
    fail(holder)
    fail(holder)
    assert holder.log_in().status == 200
    assert failures(database, "second_factor", holder.account.id) == []
    assert failures(database, "passkey_source", SOURCE_IP) == [(2,)]


def test_the_passkey_alone_works_while_the_second_factor_is_locked(holder):
    for _ in range(4):
        fail_or_refuse(holder)
    assert holder.log_in_alone().status == 200


def fail_or_refuse(holder):
    answer = anonymously("/webauthn/login/begin", {"mfa_token": holder.give_password()})
    if answer.status == 200:
        complete_login(answer.json, broken(holder, answer.json))


@pytest.mark.asvs("2.4.1")
def test_a_source_has_a_budget_of_passkeys_that_prove_nothing(holder):
    assert [fail(holder, alone=True).status for _ in range(6)] == [401] * 6
    answer = fail(holder, alone=True)
    assert (answer.status, answer.headers["ratelimit-policy"]) == (429, '"passkey_source";q=6;w=3600')


def test_challenges_that_do_not_exist_spend_it_too():
    body = {"challenge_id": str(uuid4()), "credential": {}}
    statuses = [anonymously("/webauthn/login/complete", body).status for _ in range(7)]
    assert statuses == [400] * 6 + [429]


def test_mfa_tokens_that_are_not_ours_spend_it_too(database):
    statuses = [anonymously("/webauthn/login/begin", {"mfa_token": "x.y.z"}).status for _ in range(8)]
    assert statuses == [401] * 6 + [429] * 2
    recorded = select(audit_events.c.reason).where(audit_events.c.name == "authn_token_rejected")
    assert database.execute(recorded) == [("invalid_mfa_token",)] * 6


@pytest.fixture
def few_challenges(monkeypatch):
    monkeypatch.setenv("THROTTLE_CHALLENGE_PER_SOURCE", "3")
    start_fresh_environment()


def begin(body=None, **changes):
    return anonymously("/webauthn/login/begin", body or {}, **changes)


@pytest.mark.asvs("2.4.1")
@pytest.mark.usefixtures("few_challenges")
def test_a_source_has_a_budget_of_logins_that_it_begins(database):
    assert [begin().status for _ in range(3)] == [200] * 3
    answer = begin()
    assert (answer.status, answer.code) == (429, "too_many_attempts")
    assert answer.headers["ratelimit-policy"] == '"challenge_source";q=3;w=3600'
    assert [begin().status for _ in range(3)] == [429] * 3
    assert database.count(challenges) == 3
    assert begin(sourceIp=ELSEWHERE).status == 200
    recorded = select(audit_events.c.name, audit_events.c.reason).where(audit_events.c.outcome == "failure")
    assert database.execute(recorded) == [("excess_rate_limit_exceeded", "challenge_source")]


@pytest.mark.usefixtures("few_challenges")
def test_logins_spend_it_too_and_can_be_completed_when_it_is_spent(holder):
    ceremony = begin_login(holder.give_password())
    assert [holder.log_in_alone().status for _ in range(2)] == [200] * 2
    assert begin({"mfa_token": holder.give_password()}).status == 429
    assert complete_login(ceremony, holder.authenticator.authenticate(ceremony["options"])).status == 200


@pytest.mark.usefixtures("few_challenges")
def test_mfa_tokens_that_are_not_ours_begin_nothing():
    assert [begin({"mfa_token": "x.y.z"}).status for _ in range(4)] == [401] * 4
    assert begin().status == 200


def test_a_locked_second_factor_does_not_spend_the_sources_budget(database, holder):
    ceremonies = [begin_login(holder.give_password()) for _ in range(3)]
    for _ in range(3):
        fail(holder)
    assert [complete_login(ceremony, {}).status for ceremony in ceremonies] == [429] * 3
    assert failures(database, "passkey_source", SOURCE_IP) == [(3,)]


def test_a_server_error_spends_no_attempt(database, holder, monkeypatch):
    def unavailable(*_, **__):
        raise ServiceUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(session_service, "issue_token_pair", unavailable)
        assert [holder.log_in().status for _ in range(5)] == [503] * 5
    assert failures(database, "second_factor", holder.account.id) == [(0,)]
    assert failures(database, "passkey_source", SOURCE_IP) == [(0,)]


def test_a_concurrent_burst_cannot_exceed_the_budget(database):
    holder = enrol()
    ceremonies = [begin_login(holder.give_password()) for _ in range(20)]
    answers = [(ceremony, broken(holder, ceremony)) for ceremony in ceremonies]
    with ThreadPoolExecutor(20) as threads:
        statuses = sorted(threads.map(lambda answer: complete_login(*answer).status, answers))
    # One that is refused gives the source's back, so for moments fewer than three may get through; never more.
    assert statuses.count(401) <= 3
    assert set(statuses) <= {401, 429}
    ((counted,),) = failures(database, "second_factor", holder.account.id)
    assert counted == statuses.count(401)


def test_a_lock_names_the_user_whose_password_is_known(database, holder):
    for _ in range(3):
        fail(holder)
    (lock,) = database.execute(select(audit_events).where(audit_events.c.name == "authn_login_lock"))
    assert (lock.reason, str(lock.user_id)) == ("second_factor", holder.account.id)


def test_after_a_hundred_failures_in_a_row_second_factors_are_off_until_an_operator_helps(database, holder):
    fail(holder)
    key = throttle_key("second_factor", holder.account.id)
    database.execute(update(throttles).where(throttles.c.key == key).values(failures=99))
    assert fail(holder).status == 401
    let_locks_end(database)
    assert anonymously("/webauthn/login/begin", {"mfa_token": holder.give_password()}).status == 429
    assert accounts.unlock_user(EMAIL)[1] == 1
    assert holder.log_in().status == 200


def test_who_has_no_account_any_more_has_no_counters_either(database, holder):
    fail(holder)
    log_in(password="another password entirely")
    erase_user(EMAIL)
    assert database.count(users) == 0
    assert failures(database, "second_factor", holder.account.id) == []
    assert failures(database, "login_account", EMAIL) == []
