"""The audit writer: which records commit with a change, which stay after a failure, and where chains begin and end."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, String, func, insert, select, text
from sqlalchemy.exc import OperationalError

from auth_common.audit.verification import verify_audit_log
from auth_common.audit_log.writer import AuditLogHandler, AuditWriterNotInstalled, install_audit_writer
from auth_common.database.tables import audit_events, sessions, users
from auth_common.errors import DatabaseUnavailable
from auth_common.events.catalogue import CATALOGUE
from auth_common.events.logger import logger
from auth_common.events.security_events import SecurityEvent, security_event, security_log
from auth_common.transactions import read, transaction
from tests.support.databases import sqlalchemy_listener, start_fresh_environment
from tests.support.events import SOURCE_IP, USER_AGENT
from tests.support.factories import EMAIL, log_in, register, sign_up

pytestmark = [pytest.mark.audit, pytest.mark.database]


def recorded(database, *names):
    """Return the names of the records, oldest first, without ``sys_startup``, which begins a chain."""
    rows = database.execute(select(audit_events.c.name).order_by(audit_events.c.time, audit_events.c.sequence))
    return [name for (name,) in rows if name != "sys_startup" and (not names or name in names)]


def published(log_lines):
    return [event["name"] for event in log_lines.security_events]


class ConflictError(Exception):
    sqlstate = "40001"


def conflict():
    return OperationalError("COMMIT", None, ConflictError())


@pytest.mark.asvs("16.3.1")
def test_event_of_each_kind_is_a_line_a_metric_and_a_record(database, log_lines):
    sign_up()
    log_in(password="something else entirely")
    names = ["user_created", "authn_login_success", "authn_token_created", "authn_login_fail"]
    assert recorded(database) == published(log_lines) == names
    assert [name for line in log_lines.metrics for name in line if name in names] == names


@pytest.mark.asvs("2.3.3")
@pytest.mark.threat("function-unrecorded-change")
def test_failed_change_leaves_no_record_of_its_success(database, log_lines):
    def fail(connection):
        security_event(SecurityEvent.USER_CREATED)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        transaction(fail)
    assert recorded(database) == published(log_lines) == []


def test_failure_is_recorded_although_its_transaction_rolls_back(database, log_lines):
    def refuse(connection):
        connection.execute(text("UPDATE users SET name = 'changed'"))
        security_event(SecurityEvent.USER_CREATED)
        security_event(SecurityEvent.AUTHZ_FAIL, reason="not_self")
        security_event(SecurityEvent.AUTHZ_FAIL, reason="no_step_up")
        raise LookupError("mine")

    sign_up()
    with pytest.raises(LookupError, match="mine"):
        transaction(refuse)
    assert recorded(database)[-2:] == published(log_lines)[-2:] == ["authz_fail", "authz_fail"]
    assert recorded(database).count("user_created") == 1
    assert [row.name for row in database.execute(select(users.c.name))] == ["Test Person"]


def test_event_of_a_retried_transaction_is_recorded_once(database, log_lines):
    """One conflict is in the body. The other is at the commit, after the record, where Aurora DSQL reports it."""
    tries: list[str] = []

    def conflict_at_the_first(place):
        tries.append(place)
        if tries.count(place) == 1:
            raise conflict()

    def body(_connection):
        security_event(SecurityEvent.USER_CREATED)
        conflict_at_the_first("body")

    transaction(lambda _connection: None)
    with sqlalchemy_listener("commit", lambda _connection: conflict_at_the_first("commit")):
        transaction(body)
    assert tries == ["body", "body", "commit", "body", "commit"]
    assert recorded(database) == published(log_lines) == ["user_created"]
    assert verify_audit_log().findings == []


def test_event_in_a_read_gets_a_transaction_of_its_own(database, log_lines):
    read(lambda _connection: security_event(SecurityEvent.SENSITIVE_READ, target="x"))
    assert recorded(database) == published(log_lines) == ["sensitive_read"]


@pytest.fixture
def without_audit_writer():
    for handler in [handler for handler in security_log.handlers if isinstance(handler, AuditLogHandler)]:
        security_log.removeHandler(handler)
    yield
    install_audit_writer()


@pytest.mark.asvs("16.5.3")
@pytest.mark.threat("function-unrecorded-change")
@pytest.mark.parametrize("run", [transaction, read])
def test_database_is_not_reached_without_an_installed_writer(database, without_audit_writer, run):
    reached: list[Connection] = []
    with pytest.raises(AuditWriterNotInstalled, match="install_audit_writer"):
        run(reached.append)
    assert reached == []


def test_event_is_published_at_any_log_level(database, log_lines):
    logger.setLevel("CRITICAL")
    try:
        register()
        assert recorded(database) == published(log_lines) == ["user_created"]
    finally:
        logger.setLevel("INFO")


def test_security_log_rejects_other_log_records(database):
    with pytest.raises(TypeError, match="accepts only security events"):
        security_log.info("something else")


@pytest.fixture
def without_audit_log(database):
    database.execute(text("ALTER TABLE audit_events RENAME TO away"))
    return database


@pytest.mark.asvs("2.3.3", "16.5.3")
@pytest.mark.threat("function-unrecorded-change")
def test_registration_and_login_fail_without_their_records(database, log_lines):
    register()
    database.execute(text("ALTER TABLE audit_events RENAME TO away"))
    for answer in (log_in(), register(email="other@example.com")):
        assert (answer.status, answer.code) == (503, "service_unavailable")
    assert (database.count(sessions), database.count(users)) == (0, 1)
    assert published(log_lines) == ["user_created"]
    database.execute(text("ALTER TABLE away RENAME TO audit_events"))
    assert log_in().status == 200


@pytest.mark.asvs("16.3.4")
def test_rejection_without_its_record_is_marked_in_its_log_line(without_audit_log, log_lines):
    assert log_in().status == 401
    (line,) = [record for record in log_lines.records if record["message"] == "authn_login_fail"]
    assert line["audit"] == {"error": "not stored"}
    assert line["security_event"]["status_detail"] == "unknown_user"
    assert "audit_write_fail" in [name for metric in log_lines.metrics for name in metric]


def test_success_outside_a_transaction_fails_without_its_record(without_audit_log, log_lines):
    with pytest.raises(DatabaseUnavailable):
        security_event(SecurityEvent.SENSITIVE_READ, target="x")
    assert published(log_lines) == ["sensitive_read"]


def test_chain_ends_after_a_commit_of_unknown_outcome(database, log_lines):
    """The commit got no response, so the next place in the chain may be used or not."""
    transaction(lambda _connection: security_event(SecurityEvent.USER_CREATED))

    def hang_up(_connection):
        raise OperationalError("COMMIT", None, OSError("connection reset"))

    with sqlalchemy_listener("commit", hang_up), pytest.raises(DatabaseUnavailable):
        transaction(lambda _connection: security_event(SecurityEvent.USER_ENABLED))
    transaction(lambda _connection: security_event(SecurityEvent.USER_DISABLED))
    chains = database.execute(select(audit_events.c.chain_id, func.count()).group_by(audit_events.c.chain_id))
    assert sorted(count for _, count in chains) == [2, 2]
    assert recorded(database) == ["user_created", "user_disabled"]
    assert verify_audit_log().findings == []


@pytest.mark.parametrize("pipeline", ["true", "false"])
@pytest.mark.threat("function-unrecorded-change")
def test_record_at_a_place_that_is_taken_fails_its_transaction(database, log_lines, monkeypatch, pipeline):
    """PostgreSQL may reject the record at the commit with which it travels. The next record begins a new chain."""
    monkeypatch.setenv("DATABASE_PIPELINE", pipeline)
    start_fresh_environment()
    register()
    (last,) = database.execute(select(audit_events).where(audit_events.c.name == "user_created"))
    database.execute(insert(audit_events).values(last._asdict() | {"sequence": last.sequence + 1}))
    answer = log_in()
    assert (answer.status, answer.code) == (503, "service_unavailable")
    assert database.count(sessions) == 0
    assert published(log_lines) == ["user_created"]
    assert "audit_write_fail" in [name for metric in log_lines.metrics for name in metric]
    assert log_in().status == 200


def test_chain_begins_with_startup_and_log_lines_have_its_places(database, log_lines):
    sign_up()
    start_fresh_environment()
    log_in()
    rows = database.execute(select(audit_events).order_by(audit_events.c.time, audit_events.c.sequence))
    first, second = dict.fromkeys(row.chain_id for row in rows)
    names = ["sys_startup", "user_created", "authn_login_success", "authn_token_created"]
    assert [(row.sequence, row.name) for row in rows if row.chain_id == first] == list(enumerate(names))
    assert next(row.name for row in rows if row.chain_id == second) == "sys_startup"
    lines = [tuple(record["audit"].values()) for record in log_lines.records if "audit" in record]
    assert sorted(lines) == sorted((str(row.chain_id), row.sequence, row.mac.hex()) for row in rows)


@pytest.mark.asvs("15.4.1")
def test_concurrent_logins_write_intact_chains(database, monkeypatch):
    for name in ("THROTTLE_LOGIN_PER_ACCOUNT", "THROTTLE_LOGIN_PER_ACCOUNT_AND_SOURCE"):
        monkeypatch.setenv(name, "50")
    register()
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: log_in(), range(20)))
    assert {answer.status for answer in answers} == {200}
    assert recorded(database, "authn_login_success") == ["authn_login_success"] * 20
    verification = verify_audit_log()
    assert (verification.findings, verification.records) == ([], database.count(audit_events))


@pytest.mark.asvs("14.2.4")
@pytest.mark.threat("database-read-or-backup")
def test_personal_data_cannot_be_read_in_the_database(database):
    sign_up()
    records = [row.record for row in database.execute(select(audit_events.c.record))]
    assert records
    assert [text for text in (SOURCE_IP, USER_AGENT, EMAIL) if text in "".join(records)] == []


@pytest.mark.asvs("14.2.6")
def test_email_without_an_account_is_recorded_as_a_pseudonym(database, log_lines):
    for email in ("a@example.com", "A@example.com", "b@example.com"):
        log_in(email)
    first, again, another = (event["account"] for event in log_lines.security_events)
    assert first == again != another
    assert "example.com" not in log_lines.text


def test_secret_in_a_user_agent_is_masked_before_it_is_stored(database):
    log_in("nobody@example.com", userAgent=f"rt_{'x' * 43} eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln")
    record = database.execute(select(audit_events.c.record).where(audit_events.c.name == "authn_login_fail"))[0].record
    assert json.loads(record)["personal"]["user_agent"] == "[REDACTED] [REDACTED]"


def test_name_and_reason_of_each_event_fit_their_columns():
    """PostgreSQL rejects longer texts, and a rejection must not fail because of its record."""
    reasons = [reason for entry in CATALOGUE.values() for reason in entry.reasons]
    for column, texts in ((audit_events.c.name, list(SecurityEvent)), (audit_events.c.reason, reasons)):
        assert isinstance(column.type, String)
        assert max(map(len, texts)) <= (column.type.length or 0)
