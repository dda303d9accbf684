"""The custom resource that migrates the database's schema before the functions of a deployment run."""

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Executable, create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from auth_common.database.migrations import HEAD, current_revision
from auth_common.database.privileges import (
    CLEANUP_ROLE,
    CLIENTS_ROLE,
    HEALTH_ROLE,
    INTROSPECTION_ROLE,
    MAIL_ROLE,
    PRIVILEGES,
    READER_ROLE,
    REGISTRATION_ROLE,
    REVOCATION_ROLE,
    SECURING_ROLE,
    SERVICE_ROLE,
)
from auth_common.database.tables import (
    audit_events,
    client_assertions,
    clients,
    mails,
    metadata,
    passkeys,
    refresh_tokens,
    sessions,
    users,
)
from functions.migrate.app import handler
from local_runtime.cloudformation import read_template
from tests.support.clocks import skip_pauses
from tests.support.custom_resources import run_custom_resource
from tests.support.databases import Database, dsql_url, sqlalchemy_listener, start_fresh_environment
from tools.operators.migrate import main

pytestmark = [pytest.mark.database, pytest.mark.operations]

PROJECT = Path(__file__).parents[3]
LOGIN = "arn:aws:iam::123456789012:role/secure-backend/auth/auth-LoginRole-1A2B3C"
REFRESH = "arn:aws:iam::123456789012:role/secure-backend/auth/auth-RefreshRole-4D5E6F"
CLEANUP = "arn:aws:iam::123456789012:role/secure-backend/auth/auth-CleanupRole-7A8B9C"


#: Statements that only a migration may run.
SCHEMA_CHANGES = [
    *("CREATE TABLE mine (id integer)", "ALTER TABLE users ADD COLUMN mine text", "DROP TABLE sessions"),
    *("CREATE INDEX ASYNC mine ON users (name)", "UPDATE alembic_version SET version_num = '0'"),
]
#: By role, statements on rows that the role may not run, and one that it may run.
ROWS: dict[str, tuple[list[Executable], Executable]] = {
    SERVICE_ROLE: (
        [users.delete(), audit_events.delete(), audit_events.update().values(outcome="success"), mails.select()],
        audit_events.select(),
    ),
    REGISTRATION_ROLE: ([audit_events.delete(), audit_events.update().values(outcome="success")], users.delete()),
    SECURING_ROLE: (
        [
            *(users.delete(), passkeys.update().values(name="mine"), mails.update().values(state="sent")),
            text("INSERT INTO sessions SELECT * FROM sessions"),
            audit_events.delete(),
        ],
        passkeys.delete(),
    ),
    INTROSPECTION_ROLE: (
        [
            *(sessions.update().values(revoked_at=None), users.update().values(role="admin"), clients.delete()),
            *(clients.update().values(may_introspect=True), refresh_tokens.select(), audit_events.delete()),
        ],
        sessions.select(),
    ),
    REVOCATION_ROLE: (
        [
            *(text("INSERT INTO sessions SELECT * FROM sessions"), refresh_tokens.update().values(spent_at=None)),
            *(users.update().values(role="admin"), refresh_tokens.delete(), audit_events.delete()),
        ],
        sessions.update().values(revoked_at=None),
    ),
    READER_ROLE: (
        [
            *(text("INSERT INTO sessions SELECT * FROM sessions"), users.update().values(role="admin")),
            *(users.delete(), passkeys.delete()),
        ],
        users.select(),
    ),
    HEALTH_ROLE: ([table.select() for table in metadata.sorted_tables], text("SELECT * FROM alembic_version")),
    CLEANUP_ROLE: ([users.update().values(role="admin")], audit_events.delete()),
    CLIENTS_ROLE: (
        [
            *(users.select(), sessions.select(), clients.update().values(may_introspect=True), clients.delete()),
            *(client_assertions.delete(), audit_events.delete()),
        ],
        clients.select(),
    ),
    MAIL_ROLE: (
        [users.update().values(role="admin"), users.delete(), mails.delete(), audit_events.delete()],
        mails.select(),
    ),
}


@pytest.fixture
def cluster(environment, aurora_dsql, monkeypatch):
    """Yield a new cluster of Aurora DSQL. The migration runs as its admin."""
    skip_pauses(monkeypatch)
    with aurora_dsql.new_cluster(migrated=False) as name:
        admin = dsql_url(name, user="admin")
        monkeypatch.setenv("DATABASE_URL", admin)
        yield Database("auroradsql", admin)
        start_fresh_environment()


@pytest.fixture
def migrated_cluster(environment, aurora_dsql, monkeypatch):
    """Yield a migrated cluster. Tests share the cluster, so they only try statements that must be rejected."""
    with aurora_dsql.emptied_cluster() as name:
        admin = dsql_url(name, user="admin")
        monkeypatch.setenv("DATABASE_URL", admin)
        yield Database("auroradsql", admin)
        start_fresh_environment()


@pytest.fixture
def empty_database_with_role(empty_database, postgres):
    """Return an empty PostgreSQL database on a server that has a role for the functions."""
    if (SERVICE_ROLE,) not in postgres.execute("SELECT rolname FROM pg_roles"):
        postgres.execute(f"CREATE ROLE {SERVICE_ROLE}")
    return empty_database


def migrate(request_type="Create", **roles):
    return run_custom_resource(handler, "migrate", request_type, Revision=HEAD, Roles=roles)


def mappings(cluster):
    return {tuple(row) for row in cluster.execute(text("SELECT pg_role_name, arn FROM sys.iam_pg_role_mappings"))}


def execute_as(username, url, *statements):
    """Run each statement as a role of the database, outside a transaction."""
    engine = create_engine(make_url(url).set(username=username), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(statement)


def may(cluster, role, statement):
    """Run ``statement`` as ``role``. Return False if the database denies permission."""
    try:
        execute_as(role, cluster.url, statement)
    except ProgrammingError as error:
        if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            return False
        raise
    return True


@pytest.mark.threat("database-deleted")
def test_migrate_of_a_cluster_maps_exactly_the_roles_of_the_stack(cluster):
    response = migrate(**{SERVICE_ROLE: [LOGIN, REFRESH], CLEANUP_ROLE: [CLEANUP]})
    assert (response["Status"], response["Data"]["Revision"]) == ("SUCCESS", HEAD)
    assert mappings(cluster) == {(SERVICE_ROLE, LOGIN), (SERVICE_ROLE, REFRESH), (CLEANUP_ROLE, CLEANUP)}
    migrate("Update", **{SERVICE_ROLE: [REFRESH], CLEANUP_ROLE: [CLEANUP]})
    assert mappings(cluster) == {(SERVICE_ROLE, REFRESH), (CLEANUP_ROLE, CLEANUP)}
    # A migration by an operator removes no mapping, and the deletion of the stack deletes no data.
    assert main([]) == 0
    assert migrate("Delete")["Status"] == "SUCCESS"
    assert mappings(cluster) == {(SERVICE_ROLE, REFRESH), (CLEANUP_ROLE, CLEANUP)}
    assert cluster.count(users) == 0


@pytest.mark.threat("deployment-custom-resource-call")
def test_migrate_with_an_invalid_role_arn_fails_and_maps_nothing(migrated_cluster):
    invalid = [
        *("*", f"{LOGIN}'; DROP TABLE users; --", f"{LOGIN}/", "arn:aws:iam::123456789012:user/person"),
        # A role of an attacker in this account, in another account, or of another stack.
        "arn:aws:iam::123456789012:role/attacker",
        LOGIN.replace("123456789012", "999999999999"),
        LOGIN.replace("arn:aws:", "arn:aws-cn:"),
        LOGIN.replace("/auth/", "/auth-dev/"),
        LOGIN.replace("/auth/", "/auth/../attacker/"),
    ]
    for arn in invalid:
        assert migrate(**{SERVICE_ROLE: [arn], CLEANUP_ROLE: []})["Status"] == "FAILED", arn
    assert mappings(migrated_cluster) == set()


def test_index_of_a_cluster_has_no_binary_column(migrated_cluster):
    """Aurora DSQL User Guide, "Supported data types": ``bytea`` has no index support."""
    keys = migrated_cluster.execute(
        text(
            "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_index i"
            " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_attribute a ON a.attrelid = i.indexrelid"
            " JOIN pg_class t ON t.oid = i.indrelid WHERE t.relnamespace = 'public'::regnamespace"
        )
    )
    assert {table.name for table in metadata.sorted_tables} <= {row[0].removeprefix("pk_") for row in keys}
    assert [tuple(row) for row in keys if row[2] == "bytea"] == []


@pytest.mark.asvs("13.2.2")
@pytest.mark.threat("database-schema-change", "audit-changed-record", "function-taken-over")
@pytest.mark.parametrize("role", PRIVILEGES)
def test_database_role_has_only_its_privileges(migrated_cluster, role):
    """A role cannot change the schema or rows that it must not change (ASVS 5.0 13.2.2 and 16.4.2)."""
    forbidden, allowed = ROWS[role]
    may(migrated_cluster, role, text(f"GRANT DELETE ON users TO {role}"))  # PostgreSQL only warns about this statement
    statements = [*map(text, SCHEMA_CHANGES), *forbidden]
    assert [str(statement) for statement in statements if may(migrated_cluster, role, statement)] == []
    assert may(migrated_cluster, role, allowed)


@pytest.mark.threat("database-url-leak")
def test_migrate_with_an_unusable_url_hides_its_password(environment, monkeypatch, log_lines):
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://migrations:abc@def:hunter2hunter2@db.example/accounts")
    assert migrate()["Status"] == "FAILED"
    assert "hunter2" not in log_lines.text
    assert "DATABASE_URL: " in log_lines.text


def test_migrate_with_a_hanging_database_fails_within_its_timeout(environment, monkeypatch):
    """If Lambda ended the function, CloudFormation would get no response and wait for an hour."""
    timeout = read_template(PROJECT / "template.yaml")["Resources"]["MigrateFunction"]["Properties"]["Timeout"]
    monotonic = time.monotonic
    passed: list[int] = []
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + sum(passed))
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://owner@127.0.0.1:9/accounts")
    with sqlalchemy_listener("do_connect", lambda *_: passed.append(5 * 60)):
        assert run_custom_resource(handler, "migrate", timeout=timeout, Revision=HEAD, Roles={})["Status"] == "FAILED"
    assert 0 < sum(passed) < timeout


@pytest.mark.threat("deployment-half-done")
@pytest.mark.parametrize(("recorded", "revision"), [(["9999"], "9999"), (["0004", "0001"], HEAD)])
def test_migrate_of_recorded_revisions_ends_at_the_newest(empty_database, recorded, revision):
    """A rolled back deployment leaves a newer revision. A slow concurrent migration leaves a second, old revision."""
    migrate()
    empty_database.execute(text("DELETE FROM alembic_version"))
    for each in recorded:
        empty_database.execute(text("INSERT INTO alembic_version VALUES (:it)").bindparams(it=each))
    assert migrate("Update")["Data"]["Revision"] == revision
    assert empty_database.execute(text("SELECT version_num FROM alembic_version")) == [(revision,)]


def test_migrate_of_a_database_that_rejects_it_fails_without_details(empty_database, log_lines):
    empty_database.execute(text("CREATE VIEW users AS SELECT 1 AS id"))
    response = migrate()
    assert (response["Status"], "Data" in response) == ("FAILED", False)
    assert "users" not in response["Reason"]
    assert "users" in log_lines.text


@pytest.mark.threat("deployment-half-done")
def test_concurrent_migrations_both_succeed(empty_database):
    """For example a deployment and an operator's ``make migrate`` at the same time."""
    command = [sys.executable, "-c", "from tools.operators.migrate import main; raise SystemExit(main())"]
    both = [subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in both] == [f"the schema is at revision {HEAD}\n"] * 2
    with create_engine(empty_database.url, poolclass=NullPool).connect() as connection:
        assert current_revision(connection) == HEAD


@contextmanager
def changes_of_privileges():
    """Yield a list to which each later GRANT and REVOKE statement is appended."""
    found = []

    def note(_connection, _cursor, statement, *_):
        if statement.startswith(("GRANT", "REVOKE", "AWS IAM")):
            found.append(statement)

    with sqlalchemy_listener("before_cursor_execute", note):
        yield found


@pytest.mark.threat("deployment-half-done", "function-taken-over")
@pytest.mark.parametrize("kind", ["cluster", "empty_database_with_role"])
def test_migrate_grants_and_revokes_only_differences(request, kind):
    """Each GRANT and REVOKE may conflict with live traffic."""
    database = request.getfixturevalue(kind)
    iam_roles = {SERVICE_ROLE: [LOGIN]} if kind == "cluster" else {}
    first = migrate(**iam_roles)
    query = "SELECT table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee = :role"
    granted = database.execute(text(query).bindparams(role=SERVICE_ROLE))
    expected = {(table, privilege) for table, allowed in PRIVILEGES[SERVICE_ROLE].items() for privilege in allowed}
    assert {tuple(row) for row in granted} == expected
    with changes_of_privileges() as changes:
        assert migrate("Update", **iam_roles) == first
    assert changes == []
    too_much = text(f"GRANT DELETE, TRUNCATE ON audit_events TO {SERVICE_ROLE}")
    too_little = text(f"REVOKE INSERT ON audit_events FROM {SERVICE_ROLE}")
    execute_as(make_url(database.url).username, database.url, too_much, too_little)
    with changes_of_privileges() as changes:
        migrate("Update", **iam_roles)
    assert changes == [
        f"GRANT INSERT ON audit_events TO {SERVICE_ROLE}",
        f"REVOKE DELETE, TRUNCATE ON audit_events FROM {SERVICE_ROLE}",
    ]
