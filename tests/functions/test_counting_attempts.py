"""The statement that counts an attempt, on every database, and attempts in a lockout that begins meanwhile."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text, update
from sqlalchemy.pool import NullPool

from auth_common.database.tables import throttles
from auth_common.errors import DatabaseUnavailable, TooManyAttempts
from auth_common.throttling.attempts import Attempt, AttemptedAccount
from auth_common.throttling.limits import InARowLimit, Limit
from auth_common.throttling.store import Throttle, count_attempts, delete_expired_throttles, reset_throttles
from auth_common.transactions import single_statement, transaction
from tests.support.databases import start_fresh_environment
from tests.support.outages import failing_statements
from tests.support.processes import wait_until
from tests.support.races import before_statement, on_each_postgresql_isolation, wait_until_blocked
from tests.support.throttles import attempt_counts, counter_rows, recorded_failures

pytestmark = [pytest.mark.throttling, pytest.mark.aurora_dsql]

WINDOW = timedelta(hours=8)


def limit(number, kind=Limit, **changes):
    return kind(**{"name": f"limit{number}", "key": bytes([number] * 16), "quota": 3, "window": WINDOW, **changes})


LIMITS = [
    limit(7),
    limit(6, quota=1),
    limit(5, InARowLimit),
    limit(4, InARowLimit, quota=2, max_failures=6),
    limit(3, quota=4, max_failures=4),
    limit(2, InARowLimit, exempt_from_lockouts=True, max_failures=12),
    limit(1, exempt_from_lockouts=True),
]


def expected(row, limit, now):
    """Return failures, beginning, lockout and expiry of a counter after an attempt. Return None if it is locked."""
    if row is None or row.expires_at <= now:
        failures, started_at, locked_until, expires_at = 1, now, None, now + limit.window
    elif row.failures >= limit.max_failures or (
        not limit.exempt_from_lockouts and row.locked_until is not None and row.locked_until > now
    ):
        return None
    else:
        failures, started_at, locked_until = row.failures + 1, row.started_at, row.locked_until
        expires_at = now + limit.window if limit.is_in_a_row else row.expires_at
    if lockout := limit.lockout_after(failures):
        locked_until = now + lockout
        expires_at = max(expires_at, locked_until)
    return failures, started_at, locked_until, expires_at


@pytest.mark.asvs("6.3.1")
@pytest.mark.parametrize(("first", "longest"), [(30, 3_600), (3_600, 3_600), (3_600, 60), (1, 86_400)])
def test_count_and_lockout_follow_the_rule_of_the_limit(database, monkeypatch, first, longest):
    monkeypatch.setenv("THROTTLE_FIRST_LOCK", str(first))
    monkeypatch.setenv("THROTTLE_LONGEST_LOCK", str(longest))
    start_fresh_environment()
    steps = random.Random(first * longest)
    now = datetime(2026, 4, 14, 10, tzinfo=UTC)
    rows: dict[bytes, Throttle] = {}
    highest = 0
    for _ in range(60):
        wanted = {each.key: expected(rows.get(each.key), each, now) for each in LIMITS}
        counted = transaction(lambda connection: count_attempts(connection, *([each] for each in LIMITS), now=now))  # noqa: B023 - called here
        assert {
            key: (row.failures, row.started_at, row.locked_until, row.expires_at) for key, row in counted.items()
        } == {key: values for key, values in wanted.items() if values}
        assert not any(row.refusal_recorded for row in counted.values())
        rows |= counted
        highest = max(highest, *(row.failures for row in rows.values()))
        now += timedelta(seconds=steps.choice([0, 1, 30, 61, 500, 1_801, 3_600, 28_800]))
    assert highest > 11


def lock(limit):
    """Count attempts until the limit is locked."""
    for _ in range(limit.quota):
        single_statement(lambda connection: count_attempts(connection, [limit], now=datetime.now(UTC)))


def test_locked_limit_keeps_the_attempt_from_its_group_only(database):
    locked, beside, elsewhere = limit(2), limit(1), limit(3)
    lock(locked)
    assert not Attempt(AttemptedAccount()).count_silently([beside, locked], [elsewhere])
    assert attempt_counts(database) == {locked.key: 3, elsewhere.key: 1}
    assert not recorded_failures(database)


@pytest.mark.parametrize("database", ["postgresql", "auroradsql"], indirect=True)
def test_attempt_in_a_lockout_waits_for_no_row_and_changes_none(database):
    """A flood during a lockout must neither fill the database nor hold up other attempts."""
    free, locked = limit(1), limit(2)
    lock(locked)
    before = counter_rows(database)
    with ThreadPoolExecutor(1) as thread, create_engine(database.url, poolclass=NullPool).connect() as other:
        other.execute(update(throttles).values(failures=100))
        assert not thread.submit(Attempt(AttemptedAccount()).count_silently, [free, locked]).result(30)
        other.rollback()
    assert counter_rows(database) == before


def test_attempt_is_counted_if_the_lockout_ends_before_the_rejection(database):
    free, locked = limit(1), limit(2, InARowLimit)
    lock(locked)

    def succeed():
        transaction(lambda connection: reset_throttles(connection, [locked.key]))

    with before_statement("SELECT throttles", succeed):
        Attempt(AttemptedAccount()).count(free, locked)
    assert attempt_counts(database) == {free.key: 1, locked.key: 1}


@pytest.mark.asvs("6.3.1")
@pytest.mark.threat("function-password-guessing")
@on_each_postgresql_isolation
@pytest.mark.usefixtures("isolation")
def test_clean_up_deletes_no_attempt_that_is_counted_meanwhile(database):
    """The clean-up can choose an expired counter before the next attempt replaces it."""
    expired = limit(1)
    single_statement(lambda c: count_attempts(c, [expired], now=datetime.now(UTC) - 2 * WINDOW))
    now = datetime.now(UTC)
    with ThreadPoolExecutor(1) as thread, create_engine(database.url, poolclass=NullPool).connect() as other:
        count_attempts(other, [expired], now=now)
        cleaning = thread.submit(transaction, lambda connection: delete_expired_throttles(connection, now, limit=2))
        wait_until_blocked(database)
        other.commit()
        assert cleaning.result() == 0
    assert attempt_counts(database) == {expired.key: 1}


# --- A lockout that begins during the statement -----------------------------------------------------------------------


@pytest.fixture
def count_during_a_lockout(database):
    """Count an attempt that waits for the row of a limit, while another transaction begins the lockout of the limit."""

    def count(attempt, *limits):
        locked = limits[-1]
        single_statement(lambda connection: count_attempts(connection, [locked], now=datetime.now(UTC)))
        later = datetime.now(UTC) + timedelta(minutes=1)
        with ThreadPoolExecutor(1) as thread, create_engine(database.url, poolclass=NullPool).connect() as other:
            changed = update(throttles).where(throttles.c.key == locked.key)
            other.execute(changed.values(failures=3, locked_until=later))
            counting = thread.submit(attempt.count, *limits)
            wait_until(lambda: other.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")) == 1, seconds=20)
            other.commit()
            counting.result()

    return count


@pytest.mark.asvs("2.3.2", "6.3.1")
@pytest.mark.threat("function-password-guessing")
@on_each_postgresql_isolation
@pytest.mark.usefixtures("isolation")
def test_lockout_that_begins_during_the_count_rejects_and_leaves_no_count(database, count_during_a_lockout):
    free, quickly_locked, locked = limit(1), limit(2, quota=1), limit(3, name="login_account_source")
    attempt = Attempt(AttemptedAccount())
    with pytest.raises(TooManyAttempts):
        count_during_a_lockout(attempt, free, quickly_locked, locked)
    assert attempt_counts(database) == {locked.key: 3}
    assert not attempt.has_begun_lockout(quickly_locked.name)
    assert [row.key for row in counter_rows(database) if row.locked_until] == [locked.key]
    assert recorded_failures(database)["excess_rate_limit_exceeded", locked.name] == 1


@pytest.mark.asvs("16.5.3")
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_attempt_that_cannot_be_subtracted_stays_counted(database, count_during_a_lockout):
    free, locked = limit(1), limit(2)
    with failing_statements("UPDATE throttles SET failures=(throttles.failures -"), pytest.raises(DatabaseUnavailable):
        count_during_a_lockout(Attempt(AttemptedAccount()), free, locked)
    assert attempt_counts(database) == {free.key: 1, locked.key: 3}
