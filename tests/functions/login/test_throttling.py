"""Many failed POST /login: details of their rate limits that test_rate_limits.py does not cover."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, text, update

from auth_common.accounts import administration as accounts
from auth_common.database.tables import audit_events, sessions, throttles, users
from auth_common.throttling.attempts import Attempt, AttemptedAccount
from auth_common.throttling.known_clients import CLIENT_KNOWN_FOR
from auth_common.throttling.limits import (
    MAX_FAILURES_FROM_UNKNOWN_IPS,
    MAX_FAILURES_IN_A_ROW,
    account_key,
    login_limits,
)
from auth_common.throttling.store import delete_expired_throttles
from auth_common.transactions import transaction
from tests.support.databases import start_fresh_environment
from tests.support.events import SOURCE_IP
from tests.support.factories import EMAIL, PASSWORD, log_in, register, sign_up
from tests.support.outages import failing_statements, on_each_statement, signing_key_away
from tests.support.passkeys import enrol
from tests.support.races import on_each_postgresql_isolation, send_burst
from tests.support.throttles import (
    OTHER_CLIENT_IP,
    UNKNOWN_EMAIL,
    attempt_counts,
    count_of,
    expire_counts,
    expire_lockouts,
    guess_password,
    recorded_failures,
    use_limits,
)

pytestmark = [pytest.mark.login, pytest.mark.throttling, pytest.mark.sqlite]

#: A client IP from which no test logs in.
REGISTERED_FROM = "198.51.100.200"


@pytest.fixture(autouse=True)
def limits(database, monkeypatch):
    use_limits(monkeypatch, login_per_account_and_source=3, login_per_account=5, login_per_source=7)


@pytest.fixture
def registered(database):
    """A user who has never logged in."""
    register()


def guesses(number, email=EMAIL):
    return [guess_password(email).status for _ in range(number)]


def guesses_from_everywhere(number, email=EMAIL):
    return [guess_password(email, sourceIp=f"192.0.2.{place}").status for place in range(number)]


def guesses_at_others(number):
    return [guess_password(f"person{place}@example.com").status for place in range(number)]


# --- The response ----------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.3.8")
@pytest.mark.threat("function-account-enumeration")
@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("from_everywhere", [False, True], ids=["one client IP", "many client IPs"])
def test_lockout_does_not_reveal_whether_an_account_exists(hash_costs, from_everywhere):
    """Guesses for an unknown and for a known address cause the same responses, work and lockouts."""
    seen = []
    for email in (EMAIL, UNKNOWN_EMAIL):
        hash_costs.clear()
        statuses = guesses_from_everywhere(6, email) if from_everywhere else guesses(4, email)
        answer = guess_password(email, sourceIp="192.0.2.0" if from_everywhere else SOURCE_IP)
        own = {name: answer.headers[name] for name in ("retry-after", "ratelimit", "x-request-id")}
        assert 15 < int(own["retry-after"]) <= 30
        headers = {name: value for name, value in answer.headers.items() if name not in own}
        body = {name: value for name, value in answer.json.items() if name != "request_id"}
        seen.append((statuses, hash_costs.copy(), headers, body))
    assert seen[0] == seen[1]
    assert seen[0][0][-1] == 429


# --- Counting ---------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.3.1")
@pytest.mark.usefixtures("registered")
def test_each_lockout_is_twice_as_long_up_to_the_maximum(database, monkeypatch):
    monkeypatch.setenv("THROTTLE_LONGEST_LOCK", "200")
    start_fresh_environment()
    guesses(2)
    waits = []
    for _ in range(5):
        assert guess_password().status == 401
        waits.append(int(guess_password().headers["retry-after"]))
        expire_lockouts(database)
    lockouts = [30, 60, 120, 200, 200]
    assert all(lockout - 15 < wait <= lockout for wait, lockout in zip(waits, lockouts, strict=True)), waits


@pytest.mark.usefixtures("registered")
@pytest.mark.aurora_dsql
def test_lockout_longer_than_the_window_is_not_cleaned_up(monkeypatch):
    monkeypatch.setenv("THROTTLE_WINDOW", "60")
    monkeypatch.setenv("THROTTLE_FIRST_LOCK", "3600")
    start_fresh_environment()
    guesses_at_others(7)
    assert log_in().headers["ratelimit-policy"] == '"login_source";q=7;w=60'
    when_the_window_is_over = datetime.now(UTC) + timedelta(minutes=10)
    transaction(lambda connection: delete_expired_throttles(connection, when_the_window_is_over, limit=100))
    assert log_in().status == 429


def test_counters_of_an_attempt_are_written_in_the_order_of_their_keys(database):
    """Otherwise two attempts that share two counters could deadlock."""
    subtracted: list[bytes] = []

    def note(statement, parameters):
        if statement.startswith(("UPDATE throttles", "DELETE FROM throttles")):
            executions = parameters if isinstance(parameters, list) else [parameters]
            values = (value for execution in executions for value in execution)
            subtracted.extend(bytes(value) for value in values if isinstance(value, memoryview))

    for number in range(6):
        register(email=f"person{number}@example.com")
        database.execute(throttles.delete())
        with on_each_statement(note):
            assert guess_password(f"person{number}@example.com").status == 401
            counted = [row.key for row in database.execute(select(throttles.c.key).order_by(text("rowid")))]
            assert log_in(f"person{number}@example.com").status == 200
        assert len(counted) == 3
        assert counted == subtracted == sorted(counted)
        subtracted.clear()


@pytest.mark.usefixtures("registered")
@pytest.mark.aurora_dsql
def test_success_clears_the_counters_of_the_account(database):
    guesses(2)
    guess_password(sourceIp=OTHER_CLIENT_IP)
    assert log_in().status == 200
    assert count_of(database, "login_account", EMAIL) == 0
    assert count_of(database, "login_account_source", EMAIL, SOURCE_IP) == 0
    assert count_of(database, "login_account_source", EMAIL, OTHER_CLIENT_IP) == 1
    assert guesses(3) == [401] * 3


@pytest.mark.usefixtures("registered")
def test_success_neither_clears_nor_counts_for_the_client_ip(database):
    """Otherwise an attacker with an account could guess at other accounts without a limit, by logging in often."""
    for number in range(6):
        assert guess_password(f"person{number}@example.com").status == 401
        assert log_in().status == 200
    assert count_of(database, "login_source", SOURCE_IP) == 6
    assert guess_password("another@example.com").status == 401
    assert log_in().headers["ratelimit-policy"].startswith('"login_source";q=7;')


def test_right_password_before_a_second_factor_is_a_success(database):
    holder = enrol()
    guesses(2)
    assert holder.get_mfa_token()
    assert count_of(database, "login_account", EMAIL) == 0
    assert count_of(database, "login_source", SOURCE_IP) == 2


@pytest.mark.usefixtures("registered")
@pytest.mark.aurora_dsql
def test_count_of_a_client_ip_restarts_after_its_window(database):
    guesses_at_others(7)
    assert log_in().status == 429
    expire_counts(database)
    assert guess_password("another@example.com").status == 401
    assert count_of(database, "login_source", SOURCE_IP) == 1


@pytest.mark.usefixtures("registered")
def test_right_password_of_a_disabled_account_counts_as_a_failure():
    accounts.disable_user(EMAIL)
    statuses = []
    for _ in range(4):
        start_fresh_environment()
        statuses.append(log_in().status)
    assert statuses == [401] * 3 + [429]


# --- Attempts that are not counted ------------------------------------------------------------------------------------


@pytest.mark.asvs("16.5.2")
def test_server_error_after_the_first_factor_is_not_counted(database, monkeypatch):
    holder = enrol()
    guesses(2)
    before = attempt_counts(database)
    with signing_key_away(monkeypatch):
        assert [log_in().status for _ in range(2)] == [503] * 2
    assert attempt_counts(database) == before
    assert holder.log_in().status == 200


@pytest.mark.usefixtures("registered")
def test_failed_login_transaction_leaves_the_attempt_counted(database):
    with failing_statements("INSERT INTO sessions", "UPDATE throttles"):
        assert log_in().status == 503
    assert count_of(database, "login_account", EMAIL) == 1


@pytest.mark.usefixtures("registered")
@pytest.mark.aurora_dsql
def test_late_give_back_does_not_reduce_a_new_count(database):
    limit = login_limits(email=EMAIL, client_ip=SOURCE_IP, is_known=False)[2]
    attempt = Attempt(AttemptedAccount())
    attempt.count(limit)
    expire_counts(database)
    guess_password()
    attempt.cancel()
    assert count_of(database, "login_source", SOURCE_IP) == 1


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("before", "after"), [(0, 2), (2, 1)], ids=["without an earlier lockout", "after an earlier lockout"]
)
@pytest.mark.aurora_dsql
def test_give_back_keeps_a_lockout_that_another_attempt_began(database, before, after):
    guesses(before)
    attempt = Attempt(AttemptedAccount())
    attempt.count(login_limits(email=EMAIL, client_ip=SOURCE_IP, is_known=False)[0])
    expire_lockouts(database)
    assert guesses(after) == [401] * after
    attempt.cancel()
    assert guess_password().status == 429


# --- Concurrent attempts ----------------------------------------------------------------------------------------------


@pytest.mark.threat("database-contended-row")
@on_each_postgresql_isolation
@pytest.mark.usefixtures("isolation", "registered")
def test_burst_with_conflicting_transactions_does_not_exceed_limit(database):
    """Conflicts are SQLSTATE 40001, as on Aurora DSQL. After too many conflicts, an attempt gets 503 unchecked."""
    statuses = send_burst(24, lambda _: guess_password())
    assert statuses.keys() <= {401, 429, 503}
    assert statuses[401] <= 3
    assert statuses[429] > 0


@pytest.mark.asvs("2.4.1", "6.3.1")
@pytest.mark.threat("function-password-guessing")
@pytest.mark.aurora_dsql
@pytest.mark.usefixtures("registered")
def test_burst_before_the_last_free_attempt_checks_one_password(database, hash_costs):
    """The count and the lockout are one statement. Otherwise an attempt could be counted between the two."""
    guesses(2)
    hash_costs.clear()
    assert send_burst(16, lambda _: guess_password()) == {401: 1, 429: 15}
    assert hash_costs == [4]
    assert count_of(database, "login_account_source", EMAIL, SOURCE_IP) == 3
    assert count_of(database, "login_account", EMAIL) == count_of(database, "login_source", SOURCE_IP) == 3


@pytest.mark.aurora_dsql
def test_concurrent_rejections_are_recorded_once(database):
    guesses(3)
    assert send_burst(12, lambda _: guess_password()) == {429: 12}
    assert recorded_failures(database)["excess_rate_limit_exceeded", "login_account_source"] == 1


# --- Users whom a lockout must not stop -------------------------------------------------------------------------------


@pytest.mark.asvs("6.3.1", "8.2.4")
@pytest.mark.threat("function-lockout-of-others")
@pytest.mark.aurora_dsql
def test_account_lockout_does_not_stop_its_known_client_ip(database):
    sign_up()
    assert guesses_from_everywhere(6) == [401] * 5 + [429]
    assert log_in(sourceIp=OTHER_CLIENT_IP).status == 429
    assert log_in().status == 200
    assert guesses(4) == [401] * 3 + [429]
    expire_counts(database)
    guesses_at_others(7)
    assert log_in().status == 429


def test_known_ipv6_client_is_known_by_its_network(database):
    register()
    assert log_in(sourceIp="2001:db8:1:2::3").status == 200
    guesses_from_everywhere(5)
    assert log_in(sourceIp="2001:db8:1:2:ffff::4").status == 200
    guesses_from_everywhere(5)
    assert log_in(sourceIp="2001:db8:1:3::3").status == 429


@pytest.mark.threat("function-password-guessing")
def test_spellings_and_addresses_of_one_network_share_a_limit(database):
    spellings = ("203.0.113.9", "::ffff:203.0.113.9", "::FFFF:CB00:7109", "0:0:0:0:0:ffff:203.0.113.9")
    for email, client_ips in ((EMAIL, spellings), (UNKNOWN_EMAIL, [f"2001:db8::{place}" for place in range(1, 5)])):
        assert [guess_password(email, sourceIp=client_ip).status for client_ip in client_ips] == [401] * 3 + [429]


@pytest.mark.aurora_dsql
def test_newest_200_client_ips_of_an_account_are_known(database):
    register({"sourceIp": REGISTERED_FROM})
    for client_ip, age in ((OTHER_CLIENT_IP, 0), (SOURCE_IP, 1)):
        assert log_in(sourceIp=client_ip).status == 200
        auth_time = datetime.now(UTC) - timedelta(days=age)
        database.execute(update(sessions).where(sessions.c.source_ip == client_ip).values(auth_time=auth_time))
    for client_ip in (SOURCE_IP, OTHER_CLIENT_IP):
        guesses_from_everywhere(5)
        assert guess_password(sourceIp=client_ip).status == 401
    expire_counts(database)
    (session,) = database.execute(select(sessions).where(sessions.c.source_ip == OTHER_CLIENT_IP))
    others = [{"id": uuid4(), "source_ip": f"198.18.0.{number}"} for number in range(199)]
    database.insert(sessions, [session._asdict() | other for other in others])
    guesses_from_everywhere(5)
    assert log_in(sourceIp=SOURCE_IP).status == 429
    assert log_in(sourceIp=OTHER_CLIENT_IP).status == 200


@pytest.mark.parametrize("why", ["too long ago", "all sessions were revoked"])
def test_formerly_known_client_ip_is_locked_like_any_other(database, why):
    register({"sourceIp": REGISTERED_FROM})
    log_in()
    if why == "too long ago":
        database.execute(update(sessions).values(auth_time=datetime.now(UTC) - CLIENT_KNOWN_FOR - timedelta(minutes=1)))
    else:
        accounts.revoke_sessions_of(EMAIL)
    guesses_from_everywhere(5)
    assert log_in().status == 429


@pytest.mark.threat("function-lockout-of-others")
def test_password_lockouts_do_not_stop_a_login_with_a_passkey(database):
    holder = enrol()
    guesses(3)
    guesses_from_everywhere(5)
    guesses_at_others(7)
    assert log_in().status == 429
    assert holder.log_in_with_passkey_alone().status == 200


# --- NIST SP 800-63B-4 section 3.2.2: at most 100 in a row ------------------------------------------------------------


def set_failures(database, number):
    database.execute(update(throttles).where(throttles.c.key == account_key(EMAIL)).values(failures=number))
    database.execute(throttles.delete().where(throttles.c.key != account_key(EMAIL)))
    expire_lockouts(database)


def test_unknown_and_known_client_ips_get_half_of_nists_limit_each(database):
    register({"sourceIp": REGISTERED_FROM})
    guess_password(sourceIp=OTHER_CLIENT_IP)
    set_failures(database, MAX_FAILURES_FROM_UNKNOWN_IPS - 1)
    assert guess_password(sourceIp=OTHER_CLIENT_IP).status == 401
    answer = log_in()
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) > 399 * 86_400
    assert count_of(database, "login_account", EMAIL) == MAX_FAILURES_FROM_UNKNOWN_IPS
    assert guess_password(sourceIp=REGISTERED_FROM).status == 401
    assert log_in(sourceIp=REGISTERED_FROM).status == 200
    assert count_of(database, "login_account", EMAIL) == 0


@pytest.mark.asvs("6.3.1")
@pytest.mark.threat("function-password-guessing")
@pytest.mark.aurora_dsql
def test_hundred_failures_disable_the_password_until_unlocked(database):
    sign_up()
    guess_password()
    set_failures(database, MAX_FAILURES_IN_A_ROW - 1)
    assert guess_password().status == 401
    assert log_in().status == log_in(sourceIp=OTHER_CLIENT_IP).status == 429
    assert count_of(database, "login_account", EMAIL) == MAX_FAILURES_IN_A_ROW
    accounts.unlock_user(EMAIL)
    assert log_in().status == 200


def test_burst_from_a_known_client_ip_cannot_exceed_the_hundred(database, monkeypatch):
    use_limits(monkeypatch, login_per_account_and_source=50, login_per_source=1_000)
    sign_up()
    guess_password()
    set_failures(database, MAX_FAILURES_IN_A_ROW - 4)
    assert send_burst(12, lambda _: guess_password()) == {401: 4, 429: 8}


# --- Security events --------------------------------------------------------------------------------------------------


def seen(log_lines, *names):
    return [event for event in log_lines.security_events if event["name"] in names]


@pytest.mark.asvs("16.3.3")
@pytest.mark.usefixtures("registered")
def test_lockout_and_its_first_rejection_are_security_events(database, log_lines):
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
def test_events_name_an_unknown_address_by_a_pseudonym(log_lines):
    guesses(4, UNKNOWN_EMAIL)
    events = seen(log_lines, "authn_login_lock", "excess_rate_limit_exceeded", "authn_login_fail")
    assert len({event["account"] for event in events}) == 1
    assert not any("user_id" in event for event in events)
    assert UNKNOWN_EMAIL not in log_lines.text


@pytest.mark.usefixtures("registered")
def test_lockout_undone_by_a_success_is_not_recorded(database):
    guesses(2)
    assert log_in(password=PASSWORD).status == 200  # the third attempt is counted, begins a lockout, and is given back
    assert database.execute(select(audit_events).where(audit_events.c.name == "authn_login_lock")) == []
