"""Query plans: no statement of the service reads a whole table, on SQLite or PostgreSQL."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.pool import NullPool

from auth_common.accounts import administration as accounts
from auth_common.audit_log.store import AuditQuery, select_page
from auth_common.clients.registration import list_clients, remove_client, rotate_credential
from auth_common.database.tables import metadata
from auth_common.events.vocabulary import Severity
from auth_common.mail.bounce_rate import resume_mail
from auth_common.mail.sender import send_due_mails
from auth_common.operations.cleanup import delete_expired
from tests.support.auditors import auditor_token, read_events, read_summary
from tests.support.clients import NAME, assertion, ec_key, register_client, request_token, with_assertion
from tests.support.databases import sqlalchemy_listener, start_fresh_environment
from tests.support.events import SOURCE_IP
from tests.support.factories import (
    EMAIL,
    call_as,
    change_password,
    erase,
    get_health,
    get_user,
    log_in,
    log_out,
    refresh,
    sign_up,
)
from tests.support.passkeys import call_webauthn, enrol

pytestmark = pytest.mark.database

#: Statements that may read a whole table, and how. A new entry is a decision.
ACCEPTED = [
    # One page of the whole log, newest first.
    (r"SELECT audit_events\.chain_id((?!WHERE).)*$", "SCAN audit_events USING INDEX ix_audit_events_time"),
    # An operator's list of all clients.
    (r"SELECT clients\.id((?!WHERE).)*$", "clients"),
    # The hourly clean-up of salts that erased users have left.
    (r"SELECT audit_salts.*NOT \(EXISTS", "audit_salts"),
    # An erasure by an operator. The table is small, because challenges expire after minutes.
    (r"DELETE FROM challenges WHERE .*challenges\.user_id = ", "challenges"),
]
OURS = "|".join(table.name for table in metadata.sorted_tables)


@pytest.fixture
def statements(database):
    """The statements of all features of the service, with their parameters."""
    found: dict[str, Any] = {}

    def keep(_connection, _cursor, statement, parameters, _context, many):
        if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE)\b", statement) and re.search(rf"\b({OURS})\b", statement):
            found.setdefault(statement, parameters[0] if many else parameters)

    with sqlalchemy_listener("before_cursor_execute", keep):
        use_all_features()
    start_fresh_environment()
    return found


def use_all_features():
    person, other = sign_up(), sign_up("other@example.com")
    log_in(password="wrong wrong wrong wrong")
    log_in("nobody@example.com")
    refresh(person.refresh_token)
    refresh(refresh(other.refresh_token).json["refresh_token"])
    get_user(person.id, token=person.access_token)
    get_user(other.id, token=person.access_token)
    call_as(person.access_token, "sessions", "GET", "/sessions")
    holder = enrol(person)
    holder.log_in_with_passkey_alone()
    token = holder.log_in().json["access_token"]
    call_webauthn(token, "GET", "/webauthn/credentials")
    call_webauthn(
        token, "DELETE", f"/webauthn/credentials/{holder.passkey_id}", path_parameters={"id": holder.passkey_id}
    )
    change_password(other)
    auditor = auditor_token()
    now = datetime.now(UTC)
    filters = {"event": "authn_login_fail", "user_id": person.id, "severity": "critical"}
    filters |= {"ip": "203.0.113.7", "reason": "unknown_user"}
    for query in ({}, *({name: value} for name, value in filters.items())):
        read_events(auditor, **query)
        read_events(auditor, **query, to=now.isoformat())
    read_summary(auditor, **{"from": (now - timedelta(hours=1)).isoformat(), "to": now.isoformat()})
    get_health()
    call_as(other.access_token, "sessions", "DELETE", "/sessions")
    log_out(person.access_token)
    accounts.disable_user(EMAIL)
    accounts.enable_user(EMAIL)
    register_client()
    register_client("reports", key=ec_key())
    rotate_credential(NAME)
    list_clients()
    request_token(client_id=NAME, client_secret="wrong")
    request_token(**with_assertion(assertion(ec_key(), name="reports")))
    remove_client(NAME)
    send_due_mails()
    resume_mail()
    delete_expired()
    erase("other@example.com")


def whole_tables(database, statement, parameters):
    """Return the steps of the query plan that read a whole table or a whole index."""
    with create_engine(database.url, poolclass=NullPool).connect() as connection:
        if database.kind == "sqlite":
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps = [row.detail for row in plan]
            # The rows of a subquery are read completely. Its own steps are in the plan, too.
            subqueries = {step.split()[1] for step in steps if step.startswith(("MATERIALIZE ", "CO-ROUTINE "))}
            scans = [step for step in steps if step.startswith("SCAN ") and step.split()[1] not in subqueries]
            # "ANY" is a skip-scan of an index whose first column is no filter: it tries each value of that column.
            skips = [step for step in steps if "(ANY(" in step]
            return [step for step in scans if step != "SCAN CONSTANT ROW"] + skips
        # PostgreSQL reads small tables completely. With this setting it does so only if it has no other plan.
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        return [row[0].strip() for row in plan if "Seq Scan" in row[0]]


@pytest.mark.quick  # also on PostgreSQL, for each statement of each store
def test_statement_of_the_service_reads_no_whole_table(database, statements):
    assert len(statements) > 40
    plans = {statement: whole_tables(database, statement, given) for statement, given in statements.items()}
    unexpected = {
        statement: scans
        for statement, scans in plans.items()
        if scans and not any(re.match(known, statement, re.DOTALL) and how in scans[0] for known, how in ACCEPTED)
    }
    assert unexpected == {}


@pytest.mark.parametrize(
    ("asked", "column"),
    [
        ({"severity": Severity.LOW}, "severity"),
        ({"severity": Severity.CRITICAL, "event": "authn_login_fail"}, "name"),
        ({"event": "authn_login_fail", "reason": "unknown_user"}, "reason"),
        ({"severity": Severity.LOW, "reason": "unknown_user"}, "reason"),
        ({"reason": "unknown_user", "ip": SOURCE_IP}, "source"),
        ({"event": "authn_login_fail", "ip": SOURCE_IP}, "source"),
        ({"user_id": UUID(int=7), "ip": SOURCE_IP}, "user_id"),
        ({"user_id": UUID(int=7), "severity": Severity.LOW, "reason": "unknown_user"}, "user_id"),
    ],
    ids=str,
)
@pytest.mark.parametrize("place", [{}, {"before": (1, UUID(int=7), 0)}, {"after": (1, UUID(int=7), 0)}], ids=str)
def test_sqlite_searches_by_the_most_selective_filter(environment, migrated_sqlite_file, asked, column, place):
    """PostgreSQL keeps statistics itself. Without those of migration 0005, all indexes would be equal for SQLite.

    A severity does not narrow an event, because all records of an event have the same severity.
    """
    plans: list[str] = []

    def explain(connection, _cursor, statement, parameters, *_):
        plan = connection.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        plans.extend(row[3] for row in plan if re.search(r"\baudit_events\b", row[3]))

    with create_engine(f"sqlite+pysqlite:///{migrated_sqlite_file}", poolclass=NullPool).connect() as connection:
        event.listen(connection, "before_cursor_execute", explain)
        select_page(connection, AuditQuery(**asked), limit=50, **place)
    # A later page does not read the earlier ones again.
    expected = f"INDEX ix_audit_events_{column}_time ({column}=?" + (" AND time" if place else ")")
    assert plans != []
    assert [plan for plan in plans if expected not in plan] == []


def test_plan_that_reads_a_whole_table_is_detected(database):
    by_name = "SELECT id FROM users WHERE name = 'x'"
    assert whole_tables(database, by_name, {} if database.kind == "postgresql" else ()) != []
