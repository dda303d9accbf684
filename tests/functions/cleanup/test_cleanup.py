"""The scheduled clean-up deletes expired rows in batches."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import create_engine, func, insert, select, update
from sqlalchemy.pool import NullPool

from auth_common.audit.verification import verify_audit_log
from auth_common.database.privileges import CLEANUP_ROLE
from auth_common.database.tables import (
    audit_events,
    audit_salts,
    challenges,
    client_assertions,
    email_changes,
    mails,
    refresh_tokens,
    sessions,
    throttles,
)
from auth_common.errors import DatabaseUnavailable
from auth_common.operations import cleanup
from functions.cleanup.app import handler
from local_runtime.cloudformation import read_template
from tests.support.clocks import clock_off_by
from tests.support.databases import acting_as, start_fresh_environment
from tests.support.events import lambda_context
from tests.support.factories import erase, get_user, log_in, log_out, refresh
from tests.support.hostile_rows import insert_row
from tests.support.mails import only_mail, queue
from tests.support.passkeys import begin_login, complete_login

pytestmark = [pytest.mark.operations, pytest.mark.sqlite]

PROJECT = Path(__file__).parents[3]
SCHEDULED = {"version": "0", "source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": {}}


def run():
    with acting_as(CLEANUP_ROLE):
        return handler(SCHEDULED, lambda_context("cleanup"))["deleted"]


def clean_up():
    """Run the clean-up. Return the numbers of deleted refresh tokens, sessions and challenges."""
    deleted = run()
    return tuple(deleted[what] for what in ("refresh_tokens", "sessions", "challenges"))


def ago(**duration: float):
    return datetime.now(UTC) - timedelta(**duration)


def insert_all(database, table, rows):
    """Insert many rows in transactions of at most 3,000, the limit of Aurora DSQL."""
    engine = create_engine(database.url, poolclass=NullPool)
    for first in range(0, len(rows), 3_000):
        with engine.begin() as connection:
            connection.execute(insert(table), rows[first : first + 3_000])


def add_sessions(database, number, **changes):
    """Copy the only session and its refresh token ``number`` times, with ``changes`` to both."""
    (session,) = database.execute(select(sessions))
    (token,) = database.execute(select(refresh_tokens))
    ids = [uuid4() for _ in range(number)]
    tokens = [token._asdict() | changes | {"session_id": key, "token_hash": key.bytes * 2} for key in ids]
    insert_all(database, sessions, [session._asdict() | changes | {"id": key} for key in ids])
    insert_all(database, refresh_tokens, tokens)


def add_sessions_without_tokens(database, number):
    session = database.execute(select(sessions))[0]
    insert_all(database, sessions, [session._asdict() | {"id": uuid4()} for _ in range(number)])


def rows(database):
    return database.count(refresh_tokens), database.count(sessions)


@pytest.mark.aurora_dsql
@pytest.mark.asvs("14.2.7")
def test_expired_rows_are_deleted_and_others_stay(database, person):
    add_sessions(database, 3, expires_at=ago(days=1, minutes=1))
    assert clean_up() == (3, 3, 0)
    assert (*rows(database), database.count(audit_salts)) == (1, 1, 1)
    assert get_user(person.id, token=person.access_token).status == 200
    assert refresh(person.refresh_token).status == 200


def test_expired_challenges_are_deleted(database):
    """The first response to a login's challenge stores its id, so that a second response is rejected."""
    for _ in range(3):
        complete_login(begin_login(), {})
    database.execute(update(challenges).values(expires_at=ago(minutes=2)))
    complete_login(begin_login(), {})
    assert clean_up() == (0, 0, 3)
    assert database.count(challenges) == 1


@pytest.mark.aurora_dsql
def test_expired_counters_are_deleted_and_lockouts_stay(database):
    for number in range(3):
        log_in(f"person{number}@example.com")
    count = database.count(throttles)
    (key,) = database.execute(select(throttles.c.key).limit(1))[0]
    database.execute(update(throttles).where(throttles.c.key == key).values(expires_at=ago(seconds=1)))
    assert run()["throttles"] == 1
    assert database.count(throttles) == count - 1


def test_recently_expired_rows_and_revoked_sessions_stay(database, person):
    """Clocks differ, an investigation may need the rows, and the reuse of a token must still be detected."""
    add_sessions(database, 1, expires_at=ago(hours=23))
    log_out(person.access_token)
    assert [clean_up() for _ in range(2)] == [(0, 0, 0)] * 2
    assert rows(database) == (2, 2)


@pytest.mark.aurora_dsql
def test_live_session_keeps_only_its_live_token(database, person):
    newest = refresh(person.refresh_token).json["refresh_token"]
    database.execute(
        update(refresh_tokens).where(refresh_tokens.c.spent_at.is_not(None)).values(expires_at=ago(days=2))
    )
    assert clean_up() == (1, 0, 0)
    assert refresh(person.refresh_token).status == 401
    assert refresh(newest).status == 200


def test_session_and_its_tokens_are_deleted_when_both_have_expired(database, person):
    database.execute(update(sessions).values(expires_at=ago(days=2)))
    assert clean_up() == (0, 0, 0)
    database.execute(update(refresh_tokens).values(expires_at=ago(days=2)))
    assert clean_up() == (1, 1, 0)


def test_session_without_tokens_stays_until_it_expires(database, person):
    database.execute(update(refresh_tokens).values(expires_at=ago(days=2)))
    assert clean_up() == (1, 0, 0)
    database.execute(update(sessions).values(expires_at=ago(days=2)))
    assert clean_up() == (0, 1, 0)


@pytest.mark.aurora_dsql
def test_run_deletes_all_expired_rows_in_batches(database, person, monkeypatch):
    monkeypatch.setattr(cleanup, "BATCH_ROWS", 3)
    add_sessions(database, 7, expires_at=ago(days=2))
    assert clean_up() == (7, 7, 0)
    # The time of a run is limited, and the next run continues.
    monkeypatch.setattr(cleanup, "SECONDS_PER_TABLE", 0.0)
    add_sessions(database, 7, expires_at=ago(days=2))
    assert [clean_up() for _ in range(4)] == [(3, 3, 0), (3, 3, 0), (1, 1, 0), (0, 0, 0)]
    assert rows(database) == (1, 1)


def test_mails_are_deleted_a_month_after_their_expiry(database):
    queue()
    expired = only_mail(database).expires_at
    with clock_off_by((expired - datetime.now(UTC) + timedelta(days=29)).total_seconds()):
        assert run()["mails"] == 0
    with clock_off_by((expired - datetime.now(UTC) + timedelta(days=31)).total_seconds()):
        assert run()["mails"] == 1
    assert database.count(mails) == 0


def test_run_ends_before_the_functions_timeout():
    function = read_template(PROJECT / "template.yaml")["Resources"]["CleanupFunction"]["Properties"]
    last_statement = float(function["Environment"]["Variables"]["DATABASE_TIMEOUT"])
    all_tables = 5 * cleanup.SECONDS_PER_TABLE + 3 * cleanup.SECONDS_PER_SMALL_STEP
    assert function["Timeout"] > cleanup.SECONDS_PER_RUN > all_tables + last_statement
    assert cleanup.BATCH_ROWS <= 1_000  # far below what Aurora DSQL accepts in one transaction


def test_run_on_a_slow_database_fails_at_its_time_limit(database, person, monkeypatch):
    """All statements together may take too long although each is within the database's timeout."""
    monkeypatch.setattr(cleanup, "SECONDS_PER_RUN", 0.0)
    with pytest.raises(DatabaseUnavailable):
        run()
    assert rows(database) == (1, 1)


@pytest.mark.aurora_dsql
def test_run_deletes_the_challenges_of_an_hour(database):
    """Anyone can begin a login. One run must delete the challenges of 8 requests a second for an hour."""
    template = {"ceremony": "authentication", "challenge": bytes(32), "expires_at": ago(minutes=2)}
    insert_all(database, challenges, [template | {"id": uuid4()} for _ in range(30_000)])
    assert clean_up() == (0, 0, 30_000)
    assert database.count(challenges) == 0


def test_numbers_of_deleted_rows_are_logged(database, person, log_lines):
    add_sessions(database, 2, expires_at=ago(days=2))
    clean_up()
    (record,) = [record for record in log_lines.records if record["message"] == "expired rows deleted"]
    of_mail = ("mail_tokens", "mails", "mail_suppressions", "email_changes")
    others = ("challenges", "client_assertions", "throttles", "audit_events", "unused_accounts", "left_of_the_erased")
    none = dict.fromkeys((*others, *of_mail), 0)
    assert record["deleted"] == {"refresh_tokens": 2, "sessions": 2, **none}


def test_old_addresses_are_deleted_after_their_reservation(database):
    for name, reserved_until in (("past", ago(minutes=2)), ("present", ago(hours=-1))):
        row = {"id": uuid4(), "user_id": uuid4(), "old_email": f"{name}@example.com", "changed_at": ago(hours=1)}
        database.execute(insert(email_changes).values({**row, "reserved_until": reserved_until}))
    clean_up()
    assert database.execute(select(email_changes.c.old_email)) == [("present@example.com",)]


def test_used_assertions_of_clients_are_deleted_after_their_expiry(database):
    for number, expires_at in enumerate((ago(minutes=2), ago(hours=-1))):
        database.execute(insert(client_assertions).values(hash=bytes([number] * 32), expires_at=expires_at))
    assert run()["client_assertions"] == 1
    assert database.execute(select(client_assertions.c.hash)) == [(bytes([1] * 32),)]


@pytest.mark.usefixtures("environment")
def test_run_without_a_database_raises(monkeypatch):
    """After an exception, Lambda retries the run and its error metric rises."""
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://127.0.0.1:9/service")
    with pytest.raises(DatabaseUnavailable):
        clean_up()


# --- The audit log ----------------------------------------------------------------------------------------------------


def age_audit_log(database, days):
    aged = int(ago(days=days).timestamp() * 1000)
    database.execute(update(audit_events).values(time=aged))


@pytest.mark.aurora_dsql
@pytest.mark.asvs("14.2.7")
def test_chains_past_their_retention_are_deleted_and_others_verify(database, person):
    age_audit_log(database, 401)
    start_fresh_environment()
    refresh(person.refresh_token)
    assert run()["audit_events"] == 4
    assert database.count(audit_events) == 2
    assert verify_audit_log().findings == []


@pytest.mark.threat("audit-filled")
@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_row_from_the_future_does_not_keep_its_chain(database, person):
    age_audit_log(database, 401)
    ((chain_id,),) = database.execute(select(audit_events.c.chain_id).distinct())
    insert_row(database, chain_id=chain_id, sequence=1_000, time=2**62)
    assert run()["audit_events"] == 4
    assert database.count(audit_events) == 1


def test_chain_with_recent_records_stays_complete(database, person):
    """The last records of a chain can only be verified together with its first ones."""
    age_audit_log(database, 401)
    refresh(person.refresh_token)
    assert run()["audit_events"] == 0


def test_audit_retention_is_configurable(database, person, monkeypatch):
    age_audit_log(database, 32)
    monkeypatch.setenv("AUDIT_RETENTION_DAYS", "31")
    start_fresh_environment()
    assert run()["audit_events"] == 4
    assert database.count(audit_events) == 0


@pytest.mark.aurora_dsql
def test_chains_are_deleted_from_their_ends_without_gaps(database, person, monkeypatch):
    """An interrupted run leaves shorter chains without gaps."""
    for _ in range(5):
        start_fresh_environment()
        log_in()
    age_audit_log(database, 401)
    monkeypatch.setattr(cleanup, "BATCH_ROWS", 3)
    monkeypatch.setattr(cleanup, "SECONDS_PER_TABLE", 0.0)
    assert run()["audit_events"] == 3
    chain, sequence = audit_events.c.chain_id, audit_events.c.sequence
    left = database.execute(select(chain, func.count(), func.max(sequence)).group_by(chain))
    assert all(count == highest + 1 for _, count, highest in left)
    monkeypatch.setattr(cleanup, "SECONDS_PER_TABLE", 12.0)
    assert run()["audit_events"] == 4 + 5 * 3 - 3
    assert database.count(audit_events) == 0


@pytest.mark.aurora_dsql
def test_rows_written_during_an_erasure_are_cleaned_up(database, person):
    """A request that runs during the erasure of its user may store a salt and a record with a client IP afterwards."""
    (salt,) = database.execute(select(audit_salts))
    (record,) = database.execute(select(audit_events).where(audit_events.c.name == "user_created"))
    erase(person.email)
    database.execute(insert(audit_salts).values(salt._asdict()))
    database.execute(
        update(audit_events)
        .where(audit_events.c.chain_id == record.chain_id, audit_events.c.sequence == record.sequence)
        .values(source=record.source)
    )
    assert run()["left_of_the_erased"] == 2
    assert database.count(audit_salts) == 0
    of_person = audit_events.c.user_id == UUID(person.id)
    assert {row.source for row in database.execute(select(audit_events.c.source).where(of_person))} == {None}


@pytest.mark.aurora_dsql
def test_any_number_of_rows_of_erased_users_is_cleaned_up(database, person):
    """Aurora DSQL takes 3,000 rows in a transaction."""
    (record,) = database.execute(select(audit_events).where(audit_events.c.name == "user_created"))
    erased = [uuid4() for _ in range(3_001)]
    insert_all(database, audit_salts, [{"user_id": user_id, "salt": bytes(32)} for user_id in erased])
    records = [record._asdict() | {"chain_id": uuid4(), "user_id": user_id} for user_id in erased]
    insert_all(database, audit_events, records)
    assert run()["left_of_the_erased"] == 2 * 3_001
    assert database.count(audit_salts) == 1
    of_erased = audit_events.c.user_id != UUID(person.id)
    assert {row.source for row in database.execute(select(audit_events.c.source).where(of_erased))} == {None}


@pytest.mark.aurora_dsql
@pytest.mark.asvs("14.2.7")
def test_user_with_thousands_of_sessions_is_erased(database, person):
    """Aurora DSQL takes 3,000 rows in a transaction."""
    add_sessions(database, 1_501)
    add_sessions_without_tokens(database, 1_500)
    erase(person.email)
    assert rows(database) == (0, 0)
