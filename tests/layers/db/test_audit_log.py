"""From a security event to its record: what commits together, what survives a failure, what a chain looks like."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError

from auth_common.db.engine import read, transaction
from auth_common.db.tables import audit_events, sessions, users
from auth_common.errors import DatabaseUnavailable
from auth_common.monitoring.event_catalogue import CATALOGUE
from auth_common.monitoring.logger import logger
from auth_common.monitoring.security_events import SecurityEvent, security_event, security_log
from auth_common.services.audit_verification import verify_audit_log
from tests.support.databases import listening, start_fresh_environment
from tests.support.events import SOURCE_IP, USER_AGENT
from tests.support.factories import EMAIL, log_in, register, sign_up

pytestmark = [pytest.mark.audit, pytest.mark.database]


def recorded(database, *names):
    """Return the names of the records, oldest first, without those that begin a chain."""
    rows = database.execute(select(audit_events.c.name).order_by(audit_events.c.time, audit_events.c.sequence))
    return [name for (name,) in rows if name != "sys_startup" and (not names or name in names)]


def published(log_lines):
    return [event["name"] for event in log_lines.security_events]


def length(column):
    return column.type.length


class ConflictError(Exception):
    sqlstate = "40001"


def conflict():
    return OperationalError("COMMIT", None, ConflictError())


# --- Together or not at all -------------------------------------------------------------------------------------------


@pytest.mark.asvs("16.3.1")
def test_a_registration_a_login_and_a_failure_are_lines_metrics_and_records(database, log_lines):
    sign_up()
    log_in(password="something else entirely")
    names = ["user_created", "authn_login_success", "authn_token_created", "authn_login_fail"]
    assert recorded(database) == published(log_lines) == names
    counted = [name for line in log_lines.metrics for name in line if name in names]
    assert counted == names


@pytest.mark.asvs("2.3.3")
@pytest.mark.threat("function-unrecorded-change")
def test_a_change_that_fails_leaves_no_record_of_its_success(database, log_lines):
    def fail(connection):
        security_event(SecurityEvent.USER_CREATED)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        transaction(fail)
    assert recorded(database) == published(log_lines) == []


def test_a_refusal_is_recorded_although_its_transaction_is_rolled_back(database, log_lines):
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


def test_a_body_that_runs_again_is_recorded_once(database, log_lines):
    tries = []

    def conflict_twice(_connection):
        tries.append(1)
        security_event(SecurityEvent.USER_CREATED)
        if len(tries) < 3:
            raise conflict()

    transaction(conflict_twice)
    assert len(tries) == 3
    assert recorded(database) == published(log_lines) == ["user_created"]
    assert verify_audit_log().findings == []


def test_a_conflict_at_the_commit_is_recorded_once(database, log_lines):
    """Where Aurora DSQL reports one: after the record was written."""
    commits = []

    def conflict_once(_connection):
        commits.append(1)
        if len(commits) == 1:
            raise conflict()

    transaction(lambda _connection: None)
    with listening("commit", conflict_once):
        transaction(lambda _connection: security_event(SecurityEvent.USER_CREATED))
    assert len(commits) == 2
    assert recorded(database) == published(log_lines) == ["user_created"]
    assert verify_audit_log().findings == []


def test_an_event_in_a_read_gets_a_transaction_of_its_own(database, log_lines):
    read(lambda _connection: security_event(SecurityEvent.SENSITIVE_READ, target="x"))
    assert recorded(database) == published(log_lines) == ["sensitive_read"]


def test_several_events_of_a_request_are_all_kept(database):
    """The behaviour of a peer that kept the last one only."""
    sign_up()
    assert recorded(database) == ["user_created", "authn_login_success", "authn_token_created"]


def test_no_log_level_silences_an_event(database, log_lines):
    logger.setLevel("CRITICAL")
    try:
        register()
        assert recorded(database) == published(log_lines) == ["user_created"]
    finally:
        logger.setLevel("INFO")


def test_only_security_events_go_into_the_security_log(database):
    with pytest.raises(TypeError, match="only security events"):
        security_log.info("something else")


# --- The audit log is away --------------------------------------------------------------------------------------------


@pytest.fixture
def without_audit_log(database):
    database.execute(text("ALTER TABLE audit_events RENAME TO away"))
    return database


@pytest.mark.asvs("2.3.3", "16.5.3")
@pytest.mark.threat("function-unrecorded-change")
def test_no_login_succeeds_without_its_record(database, log_lines):
    register()
    database.execute(text("ALTER TABLE audit_events RENAME TO away"))
    answer = log_in()
    assert (answer.status, answer.code) == (503, "service_unavailable")
    assert database.count(sessions) == 0
    assert "authn_login_success" not in published(log_lines)
    database.execute(text("ALTER TABLE away RENAME TO audit_events"))
    assert log_in().status == 200


def test_nobody_registers_without_a_record(without_audit_log):
    assert register().status == 503
    assert without_audit_log.count(users) == 0


@pytest.mark.asvs("16.3.4")
def test_a_refusal_stands_without_its_record_and_its_line_says_so(without_audit_log, log_lines):
    assert log_in().status == 401
    (line,) = [record for record in log_lines.records if record["message"] == "authn_login_fail"]
    assert line["audit"] == {"error": "not stored"}
    assert line["security_event"]["status_detail"] == "unknown_user"
    assert "audit_write_fail" in [name for metric in log_lines.metrics for name in metric]


def test_a_success_outside_a_transaction_is_refused_without_its_record(without_audit_log, log_lines):
    with pytest.raises(DatabaseUnavailable):
        security_event(SecurityEvent.SENSITIVE_READ, target="x")
    assert published(log_lines) == ["sensitive_read"]


def test_after_a_record_that_may_be_lost_a_new_chain_begins(database, log_lines):
    """The commit was sent and the answer never came: nobody knows whether the place in the chain is taken."""
    transaction(lambda _connection: security_event(SecurityEvent.USER_CREATED))

    def hang_up(_connection):
        raise OperationalError("COMMIT", None, OSError("connection reset"))

    with listening("commit", hang_up), pytest.raises(DatabaseUnavailable):
        transaction(lambda _connection: security_event(SecurityEvent.USER_ENABLED))
    transaction(lambda _connection: security_event(SecurityEvent.USER_DISABLED))
    chains = database.execute(select(audit_events.c.chain_id, func.count()).group_by(audit_events.c.chain_id))
    assert sorted(count for _, count in chains) == [2, 2]
    assert recorded(database) == ["user_created", "user_disabled"]
    assert verify_audit_log().findings == []


# --- Chains -----------------------------------------------------------------------------------------------------------


def test_an_environment_begins_its_chain_by_saying_so(database, log_lines):
    sign_up()
    start_fresh_environment()
    log_in()
    order = (audit_events.c.time, audit_events.c.sequence)
    rows = database.execute(
        select(audit_events.c.chain_id, audit_events.c.sequence, audit_events.c.name).order_by(*order)
    )
    first, second = dict.fromkeys(row.chain_id for row in rows)
    assert [(row.sequence, row.name) for row in rows if row.chain_id == first] == [
        (0, "sys_startup"),
        (1, "user_created"),
        (2, "authn_login_success"),
        (3, "authn_token_created"),
    ]
    assert next(row.name for row in rows if row.chain_id == second) == "sys_startup"


def test_the_line_in_the_log_carries_the_place_and_the_mac_of_the_record(database, log_lines):
    sign_up()
    rows = database.execute(select(audit_events.c.chain_id, audit_events.c.sequence, audit_events.c.mac))
    lines = [record["audit"] for record in log_lines.records if "audit" in record]
    stored = [{"chain": str(row.chain_id), "sequence": row.sequence, "mac": row.mac.hex()} for row in rows]
    assert sorted(lines, key=lambda line: line["sequence"]) == sorted(stored, key=lambda row: row["sequence"])


@pytest.mark.asvs("15.4.1")
def test_forty_at_once_write_forty_chains_that_hold(database, monkeypatch):
    for name in ("THROTTLE_LOGIN_PER_ACCOUNT", "THROTTLE_LOGIN_PER_ACCOUNT_AND_SOURCE"):
        monkeypatch.setenv(name, "50")
    register()
    with ThreadPoolExecutor(40) as threads:
        answers = list(threads.map(lambda _: log_in(), range(40)))
    assert {answer.status for answer in answers} == {200}
    assert recorded(database, "authn_login_success") == ["authn_login_success"] * 40
    verification = verify_audit_log()
    assert (verification.findings, verification.records) == ([], database.count(audit_events))


# --- What is in a record ----------------------------------------------------------------------------------------------


@pytest.mark.asvs("14.2.4")
@pytest.mark.threat("database-read-or-backup")
def test_what_is_personal_cannot_be_read_in_the_database(database):
    sign_up()
    records = [row.record for row in database.execute(select(audit_events.c.record))]
    assert records
    for record in records:
        assert SOURCE_IP not in record
        assert USER_AGENT not in record
        assert EMAIL not in record


@pytest.mark.asvs("14.2.6")
def test_an_address_without_an_account_has_a_pseudonym_that_counts_and_names_nobody(database, log_lines):
    for email in ("a@example.com", "A@example.com", "b@example.com"):
        log_in(email)
    first, again, another = (event["account"] for event in log_lines.security_events)
    assert first == again != another
    assert "example.com" not in log_lines.text


def test_secrets_in_what_a_client_sends_are_masked_before_they_are_stored(database):
    log_in("nobody@example.com", userAgent=f"rt_{'x' * 43} eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln")
    record = database.execute(select(audit_events.c.record).where(audit_events.c.name == "authn_login_fail"))[0].record
    assert json.loads(record)["personal"]["user_agent"] == "[REDACTED] [REDACTED]"


def test_each_name_and_reason_fits_its_column():
    """PostgreSQL refuses what is too long, and a refusal must not fail for its record."""
    reasons = [reason for entry in CATALOGUE.values() for reason in entry.reasons]
    assert max(len(name) for name in SecurityEvent) <= length(audit_events.c.name)
    assert max(len(reason) for reason in reasons) <= length(audit_events.c.reason)
