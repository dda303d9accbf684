"""POST /login under guessing: budgets, locks, and what they must not do to anybody else."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import select, update

from auth_common.db import throttles as store
from auth_common.db.engine import transaction
from auth_common.db.tables import audit_events, sessions, throttles, users
from auth_common.db.throttles import delete_expired_throttles
from auth_common.errors import DatabaseUnavailable, ServiceUnavailable
from auth_common.security.audit_protection import throttle_key
from auth_common.services import accounts, attempts, throttling
from auth_common.services import login as login_service
from auth_common.services import sessions as session_service
from auth_common.services.attempts import Attempt, Subject
from auth_common.services.throttle_limits import MOST_IN_A_ROW, MOST_OF_STRANGERS, account_key, of_login
from auth_common.services.throttling import KNOWN_FOR
from tests.support.databases import start_fresh_environment
from tests.support.events import SOURCE_IP
from tests.support.factories import EMAIL, PASSWORD, log_in, register, sign_up
from tests.support.passkeys import enrol
from tests.support.throttles import ELSEWHERE, let_counts_end, let_locks_end, rows

pytestmark = [pytest.mark.login, pytest.mark.throttling, pytest.mark.aurora_dsql]

WRONG = "another password entirely"
UNKNOWN = "nobody@example.com"


@pytest.fixture(autouse=True)
def budgets(database, monkeypatch):
    """Small ones: three failures of a source at an account, five at an account, seven of a source."""
    for name, value in {"PER_ACCOUNT_AND_SOURCE": 3, "PER_ACCOUNT": 5, "PER_SOURCE": 7}.items():
        monkeypatch.setenv(f"THROTTLE_LOGIN_{name}", str(value))
    start_fresh_environment()


@pytest.fixture
def registered(database):
    """Somebody with an account, who has never logged in."""
    register()


def guess(email=EMAIL, *, source=SOURCE_IP):
    return log_in(email, WRONG, sourceIp=source)


def guesses(number, email=EMAIL, *, source=SOURCE_IP):
    return [guess(email, source=source).status for _ in range(number)]


def guesses_from_everywhere(number, email=EMAIL):
    return [guess(email, source=f"192.0.2.{place}").status for place in range(number)]


def counter(database, name, *subjects):
    found = database.execute(select(throttles).where(throttles.c.key == throttle_key(name, *subjects)))
    return found[0] if found else None


def failures(database, name, *subjects):
    row = counter(database, name, *subjects)
    return row.failures if row else 0


# --- The answer -------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("2.3.2", "6.3.1", "8.2.4")
@pytest.mark.usefixtures("registered")
def test_after_the_budget_is_spent_the_answer_is_429_and_says_when_to_come_again():
    assert guesses(3) == [401, 401, 401]
    answer = guess()
    assert (answer.status, answer.code) == (429, "too_many_attempts")
    seconds = int(answer.headers["retry-after"])
    assert 25 < seconds <= 30
    assert answer.headers["ratelimit-policy"] == '"login_account_source";q=3;w=86400'
    assert answer.headers["ratelimit"] == f'"login_account_source";r=0;t={seconds}'


@pytest.mark.asvs("6.3.8")
@pytest.mark.threat("function-account-enumeration")
@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("from_everywhere", [False, True], ids=["one source", "many sources"])
def test_a_lock_never_tells_that_an_account_exists(hash_costs, from_everywhere):
    """Each guess at an unknown address counts as one at a known: same answers, same work, same locks."""
    seen = []
    for email in (EMAIL, UNKNOWN):
        hash_costs.clear()
        statuses = guesses_from_everywhere(6, email) if from_everywhere else guesses(4, email)
        answer = guess(email, source="192.0.2.0" if from_everywhere else SOURCE_IP)
        own = {name: answer.headers[name] for name in ("retry-after", "ratelimit", "x-request-id")}
        assert abs(int(own["retry-after"]) - 30) <= 3
        headers = {name: value for name, value in answer.headers.items() if name not in own}
        body = {name: value for name, value in answer.json.items() if name != "request_id"}
        seen.append((statuses, hash_costs.copy(), headers, body))
    assert seen[0] == seen[1]
    assert seen[0][0][-1] == 429


@pytest.mark.asvs("2.4.1", "15.2.2")
@pytest.mark.usefixtures("registered")
def test_no_hash_is_computed_while_locked(hash_costs):
    guesses(3)
    hash_costs.clear()
    assert log_in().status == guess().status == 429
    assert hash_costs == []


@pytest.mark.usefixtures("database")
def test_the_right_password_of_a_disabled_account_counts_like_a_wrong_one():
    register()
    accounts.disable_user(EMAIL)
    assert [log_in().status for _ in range(4)] == [401, 401, 401, 429]


# --- Counting ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("registered")
def test_attempts_during_a_lock_neither_count_nor_extend_it(database):
    guesses(3)
    guess()  # the first refusal is marked as recorded
    before = rows(database)
    assert guesses(5) == [429] * 5
    assert log_in().status == 429
    assert rows(database) == before


@pytest.mark.usefixtures("registered")
def test_a_flood_of_addresses_from_a_locked_source_leaves_no_counters(database):
    for number in range(7):
        guess(f"person{number}@example.com")
    before = database.count(throttles)
    assert {guess(f"stranger{number}@example.com").status for number in range(5)} == {429}
    assert database.count(throttles) == before


@pytest.mark.asvs("6.3.1")
@pytest.mark.usefixtures("registered")
def test_each_lock_lasts_twice_as_long_as_the_one_before_up_to_the_longest(database, monkeypatch):
    monkeypatch.setenv("THROTTLE_LONGEST_LOCK", "200")
    start_fresh_environment()
    guesses(2)
    waits = []
    for _ in range(5):
        assert guess().status == 401
        waits.append(int(guess().headers["retry-after"]))
        let_locks_end(database)
    assert [(wait + 5) // 10 * 10 for wait in waits] == [30, 60, 120, 200, 200]


@pytest.mark.usefixtures("registered")
def test_a_lock_that_is_longer_than_the_window_is_not_cleaned_up_with_it(monkeypatch):
    monkeypatch.setenv("THROTTLE_WINDOW", "60")
    monkeypatch.setenv("THROTTLE_FIRST_LOCK", "3600")
    start_fresh_environment()
    for number in range(7):
        guess(f"person{number}@example.com")
    assert log_in().headers["ratelimit-policy"] == '"login_source";q=7;w=60'
    when_the_window_is_over = datetime.now(UTC) + timedelta(minutes=10)
    transaction(lambda connection: delete_expired_throttles(connection, when_the_window_is_over, limit=100))
    assert log_in().status == 429


def test_each_attempt_counts_in_one_order(database, monkeypatch):
    """Else two that share two counters could each hold the one that the other waits for."""
    seen = []
    count = store.count_attempt

    def count_and_tell(connection, key, **rules):
        seen.append(key)
        return count(connection, key, **rules)

    monkeypatch.setattr(store, "count_attempt", count_and_tell)
    for number in range(6):
        seen.clear()
        assert guess(f"person{number}@example.com").status == 401
        assert len(seen) == 3
        assert seen == sorted(seen)


@pytest.mark.usefixtures("registered")
def test_a_success_clears_the_counters_of_the_account(database):
    guesses(2)
    guess(source=ELSEWHERE)
    assert log_in().status == 200
    assert failures(database, "login_account", EMAIL) == 0
    assert failures(database, "login_account_source", EMAIL, SOURCE_IP) == 0
    assert failures(database, "login_account_source", EMAIL, ELSEWHERE) == 1
    assert guesses(3) == [401] * 3


@pytest.mark.usefixtures("registered")
def test_a_success_does_not_clear_the_sources_failures_and_is_none_itself(database):
    """Else who has an account of their own could guess at others for ever, with a login of theirs in between."""
    for number in range(6):
        assert guess(f"person{number}@example.com").status == 401
        assert log_in().status == 200
    assert failures(database, "login_source", SOURCE_IP) == 6
    assert guess("another@example.com").status == 401
    assert log_in().headers["ratelimit-policy"].startswith('"login_source";q=7;')


def test_a_password_that_leads_to_the_second_factor_is_a_success(database):
    holder = enrol()
    guesses(2)
    assert holder.give_password()
    assert failures(database, "login_account", EMAIL) == 0
    assert failures(database, "login_source", SOURCE_IP) == 2


@pytest.mark.usefixtures("registered")
def test_a_sources_count_begins_anew_when_its_window_is_over(database):
    for number in range(7):
        guess(f"person{number}@example.com")
    assert log_in().status == 429
    let_counts_end(database)
    assert guess("another@example.com").status == 401
    assert failures(database, "login_source", SOURCE_IP) == 1


@pytest.mark.usefixtures("registered")
def test_counters_outlive_the_environment_that_counted():
    for _ in range(3):
        start_fresh_environment()
        assert guess().status == 401
    start_fresh_environment()
    assert guess().status == 429


@pytest.mark.usefixtures("registered")
def test_counters_hold_neither_addresses_nor_sources(database):
    guess()
    for row in rows(database):
        assert len(row.key) == 16
        assert not any(EMAIL in str(value) or SOURCE_IP in str(value) for value in row)


# --- What spends no attempt -------------------------------------------------------------------------------------------


@pytest.mark.asvs("16.5.2")
@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(("error", "status"), [(ServiceUnavailable, 503), (ZeroDivisionError, 500)])
def test_a_server_error_spends_no_attempt(database, monkeypatch, error, status):
    guesses(2)
    before = [row.failures for row in rows(database)]

    def fail(*_, **__):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(session_service, "issue_token_pair", fail)
        assert [log_in().status for _ in range(5)] == [status] * 5
    assert [row.failures for row in rows(database)] == before
    assert log_in().status == 200


def test_a_server_error_behind_the_right_password_spends_no_attempt_either(database, monkeypatch):
    holder = enrol()
    guesses(2)
    before = [row.failures for row in rows(database)]

    def fail(*_, **__):
        raise ServiceUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(login_service, "issue_mfa_token", fail)
        assert [log_in().status for _ in range(5)] == [503] * 5
    assert [row.failures for row in rows(database)] == before
    assert holder.log_in().status == 200


@pytest.mark.usefixtures("registered")
def test_where_the_database_is_away_too_the_attempt_stays_counted_and_the_answer_is_the_same(database, monkeypatch):
    def fail(*_, **__):
        raise DatabaseUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(session_service, "issue_token_pair", fail)
        patched.setattr(Attempt, "_give_all_back", fail)
        assert log_in().status == 503
    assert failures(database, "login_account", EMAIL) == 1


@pytest.mark.usefixtures("registered")
def test_what_is_given_back_late_is_not_taken_from_a_new_count(database):
    limit = of_login(email=EMAIL, source=SOURCE_IP, is_known=False)[2]
    attempt = Attempt(Subject())
    attempt.count(limit)
    let_counts_end(database)
    guess()
    attempt.give_back()
    assert failures(database, "login_source", SOURCE_IP) == 1


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 1)], ids=["began none", "began the one before"])
def test_what_is_given_back_leaves_a_lock_that_another_attempt_has_begun(database, before, after):
    guesses(before)
    attempt = Attempt(Subject())
    attempt.count(of_login(email=EMAIL, source=SOURCE_IP, is_known=False)[0])
    let_locks_end(database)
    assert guesses(after) == [401] * after
    attempt.give_back()
    assert guess().status == 429


# --- Many at once -----------------------------------------------------------------------------------------------------


def together(number, request):
    guess("warm-up@example.com", source="203.0.113.200")  # one engine, as in one environment
    start = Barrier(number)

    def wait_and_request(place):
        start.wait()
        return request(place).status

    with ThreadPoolExecutor(number) as threads:
        return Counter(threads.map(wait_and_request, range(number)))


BURSTS = {
    "at one account from one source": (lambda _: guess(), 3),
    "at one account from everywhere": (lambda place: guess(source=f"192.0.2.{place}"), 5),
    "at many accounts from one source": (lambda place: guess(f"person{place}@example.com"), 7),
    "at an unknown address": (lambda _: guess(UNKNOWN), 3),
}


@pytest.mark.asvs("2.4.1", "6.3.1", "15.2.2")
@pytest.mark.threat("function-password-guessing")
@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(("request_one", "budget"), BURSTS.values(), ids=BURSTS)
def test_a_concurrent_burst_cannot_exceed_the_budget(hash_costs, request_one, budget):
    hash_costs.clear()
    assert together(40, request_one) == {401: budget, 429: 40 - budget}
    assert len(hash_costs) == budget + 1


@pytest.mark.threat("database-contended-row")
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
@pytest.mark.usefixtures("registered")
def test_a_burst_cannot_exceed_the_budget_where_transactions_conflict(database, monkeypatch, isolation):
    """SQLSTATE 40001, as on Aurora DSQL. Whoever loses too often is answered 503, and has not guessed."""
    level = isolation.replace(" ", "%5C%20")
    monkeypatch.setenv("DATABASE_URL", f"{database.url}&options=-c%20default_transaction_isolation%3D{level}")
    start_fresh_environment()
    statuses = together(24, lambda _: guess())
    assert statuses.keys() <= {401, 429, 503}
    assert statuses[401] <= 3
    assert statuses[429] > 0


@pytest.mark.usefixtures("registered")
def test_a_lock_that_begins_between_the_look_and_the_count_holds(database, monkeypatch):
    guesses(3)
    before = rows(database)
    monkeypatch.setattr(attempts, "refuse_if_locked", lambda *_: None)
    assert guess().status == 429
    assert [row.failures for row in rows(database)] == [row.failures for row in before]


def test_of_many_refusals_at_once_one_is_recorded(database):
    guesses(3)
    assert together(12, lambda _: guess()) == {429: 12}
    assert len(recorded(database, "excess_rate_limit_exceeded")) == 1


# --- Whom a lock must not stop ----------------------------------------------------------------------------------------


@pytest.mark.asvs("6.3.1", "8.2.4")
@pytest.mark.threat("function-lockout-of-others")
def test_spamming_an_address_does_not_stop_its_owners_known_device(database):
    sign_up()
    assert guesses_from_everywhere(6) == [401] * 5 + [429]
    assert log_in(sourceIp=ELSEWHERE).status == 429
    assert log_in().status == 200


def test_on_a_known_device_its_own_budget_still_holds(database):
    sign_up()
    guesses_from_everywhere(5)
    assert guesses(4) == [401] * 3 + [429]


def test_on_a_known_device_the_sources_budget_still_holds(database):
    sign_up()
    for number in range(7):
        guess(f"person{number}@example.com")
    assert log_in().status == 429


def test_a_known_device_in_ipv6_is_known_by_its_network(database):
    register()
    assert log_in(sourceIp="2001:db8:1:2::3").status == 200
    guesses_from_everywhere(5)
    assert log_in(sourceIp="2001:db8:1:2:ffff::4").status == 200
    guesses_from_everywhere(5)
    assert log_in(sourceIp="2001:db8:1:3::3").status == 429


def test_a_whole_ipv6_network_is_one_source(database):
    statuses = [guess(UNKNOWN, source=f"2001:db8::{place}").status for place in range(1, 5)]
    assert statuses == [401] * 3 + [429]


def log_in_from(database, *sources):
    """Log in from each, a day after the one before."""
    register()
    for age, source in enumerate(reversed(sources)):
        assert log_in(sourceIp=source).status == 200
        auth_time = datetime.now(UTC) - timedelta(days=age)
        database.execute(update(sessions).where(sessions.c.source_ip == source).values(auth_time=auth_time))


def test_each_device_of_an_account_is_known(database):
    log_in_from(database, SOURCE_IP, ELSEWHERE)
    for source in (SOURCE_IP, ELSEWHERE):
        guesses_from_everywhere(5)
        assert log_in(sourceIp=source).status == 200


def test_where_an_account_has_very_many_devices_the_newest_are_known(database, monkeypatch):
    monkeypatch.setattr(throttling, "_SOURCES", 1)
    log_in_from(database, SOURCE_IP, ELSEWHERE)
    guesses_from_everywhere(5)
    assert log_in(sourceIp=SOURCE_IP).status == 429
    assert log_in(sourceIp=ELSEWHERE).status == 200


@pytest.mark.parametrize("why", ["too long ago", "all sessions were ended"])
def test_a_device_that_was_known_once_is_like_any_other(database, why):
    sign_up()
    if why == "too long ago":
        database.execute(update(sessions).values(auth_time=datetime.now(UTC) - KNOWN_FOR - timedelta(minutes=1)))
    else:
        accounts.end_sessions_of(EMAIL)
    guesses_from_everywhere(5)
    assert log_in().status == 429


@pytest.mark.threat("function-lockout-of-others")
@pytest.mark.parametrize("source", [SOURCE_IP, ELSEWHERE])
def test_guessing_at_passwords_leaves_passkeys_alone(database, source):
    holder = enrol()
    guesses(3, source=SOURCE_IP)
    guesses_from_everywhere(5)
    for number in range(7):
        guess(f"person{number}@example.com")
    assert log_in().status == 429
    assert holder.log_in_alone().status == 200


# --- NIST SP 800-63B-4 section 3.2.2: at most 100 in a row ------------------------------------------------------------


def set_failures(database, number):
    database.execute(update(throttles).where(throttles.c.key == account_key(EMAIL)).values(failures=number))
    database.execute(throttles.delete().where(throttles.c.key != account_key(EMAIL)))
    let_locks_end(database)


@pytest.mark.usefixtures("registered")
def test_strangers_can_use_up_half_of_what_nist_allows_then_the_password_is_off(database):
    guess(source=ELSEWHERE)
    set_failures(database, MOST_OF_STRANGERS - 1)
    assert guess(source=ELSEWHERE).status == 401
    answer = log_in()
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) > 399 * 86_400
    assert failures(database, "login_account", EMAIL) == MOST_OF_STRANGERS


def test_known_devices_have_the_other_half_and_a_success_there_ends_it(database):
    sign_up()
    guess()
    set_failures(database, MOST_OF_STRANGERS)
    assert guess().status == 401
    assert log_in().status == 200
    assert failures(database, "login_account", EMAIL) == 0


@pytest.mark.asvs("6.3.1")
@pytest.mark.threat("function-password-guessing")
def test_after_a_hundred_failures_in_a_row_the_password_is_off_everywhere(database):
    sign_up()
    guess()
    set_failures(database, MOST_IN_A_ROW - 1)
    assert guess().status == 401
    assert log_in().status == log_in(sourceIp=ELSEWHERE).status == 429
    assert failures(database, "login_account", EMAIL) == MOST_IN_A_ROW


def test_a_burst_on_a_known_device_cannot_exceed_the_hundred(database, monkeypatch):
    monkeypatch.setenv("THROTTLE_LOGIN_PER_ACCOUNT_AND_SOURCE", "50")
    monkeypatch.setenv("THROTTLE_LOGIN_PER_SOURCE", "1000")
    start_fresh_environment()
    sign_up()
    guess()
    set_failures(database, MOST_IN_A_ROW - 4)
    assert together(12, lambda _: guess()) == {401: 4, 429: 8}


def test_an_operator_switches_it_on_again(database):
    sign_up()
    guess()
    set_failures(database, MOST_IN_A_ROW)
    assert log_in().status == 429
    accounts.unlock_user(EMAIL)
    assert log_in().status == 200


# --- What the Security team sees --------------------------------------------------------------------------------------


def recorded(database, name):
    return database.execute(select(audit_events).where(audit_events.c.name == name))


def seen(log_lines, *names):
    return [event for event in log_lines.security_events if event["name"] in names]


@pytest.mark.asvs("16.3.3")
@pytest.mark.usefixtures("registered")
def test_a_lock_is_an_event_when_it_begins_and_its_first_refusal_another(database, log_lines):
    guesses(3)
    ((user_id,),) = database.execute(select(users.c.id))
    (lock,) = seen(log_lines, "authn_login_lock")
    assert (lock["reason"], lock["user_id"], lock["locked_for"]) == ("login_account_source", str(user_id), 30)
    assert seen(log_lines, "excess_rate_limit_exceeded") == []
    guesses(4)
    (refusal,) = seen(log_lines, "excess_rate_limit_exceeded")
    assert (refusal["reason"], refusal["user_id"]) == ("login_account_source", str(user_id))
    assert len(seen(log_lines, "authn_login_lock")) == 1


@pytest.mark.usefixtures("registered")
def test_an_unknown_address_is_a_pseudonym_in_both(log_lines):
    guesses(4, UNKNOWN)
    events = seen(log_lines, "authn_login_lock", "excess_rate_limit_exceeded", "authn_login_fail")
    assert len({event["account"] for event in events}) == 1
    assert not any("user_id" in event for event in events)
    assert UNKNOWN not in log_lines.text


@pytest.mark.threat("logs-silenced-alarms")
@pytest.mark.usefixtures("registered")
def test_refusals_do_not_fill_the_audit_log_but_all_are_counted(database, log_lines):
    guesses(3)
    before = database.count(audit_events)
    guesses(20)
    assert database.count(audit_events) == before + 1
    counted = [line for line in log_lines.metrics if "excess_rate_limit_exceeded" in line]
    assert len(counted) == 20
    refused = [record for record in log_lines.records if record["message"] == "attempt refused"]
    assert len(refused) == 19
    assert all(record["limit"] == "login_account_source" and record["retry_after"] <= 30 for record in refused)


@pytest.mark.usefixtures("registered")
def test_the_next_lock_is_recorded_again(database):
    guesses(5)
    let_locks_end(database)
    guesses(3)
    assert len(recorded(database, "authn_login_lock")) == 2
    assert len(recorded(database, "excess_rate_limit_exceeded")) == 2


@pytest.mark.usefixtures("registered")
def test_a_lock_that_a_success_ends_at_once_is_no_event(database):
    guesses(2)
    assert log_in(password=PASSWORD).status == 200  # the third: counted, locked, and given back
    assert recorded(database, "authn_login_lock") == []
