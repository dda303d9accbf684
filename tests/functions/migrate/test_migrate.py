"""The custom resource that brings the database to this version's schema, before anything else of it runs."""

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from auth_common.db.migrations import HEAD, current_revision
from auth_common.db.privileges import CLEANUP_ROLE, HEALTH_ROLE, PRIVILEGES, READER_ROLE, SERVICE_ROLE
from auth_common.db.tables import audit_events, metadata, passkeys, users
from functions.migrate.app import handler
from local_runtime.cloudformation import read_template
from tests.support.clocks import skip_pauses
from tests.support.custom_resources import deploy
from tests.support.databases import Database, dsql_url, listening, start_fresh_environment
from tools.migrate import main

pytestmark = [pytest.mark.database, pytest.mark.operations]

PROJECT = Path(__file__).parents[3]
LOGIN = "arn:aws:iam::123456789012:role/auth-LoginRole-1A2B3C"
REFRESH = "arn:aws:iam::123456789012:role/auth-RefreshRole-4D5E6F"
CLEANUP = "arn:aws:iam::123456789012:role/auth-CleanupRole-7A8B9C"


@pytest.fixture
def cluster(environment, aurora_dsql, monkeypatch):
    """A new cluster of Aurora DSQL, and its admin as the one who migrates."""
    skip_pauses(monkeypatch)
    with aurora_dsql.new_cluster(migrated=False) as name:
        admin = dsql_url(name, user="admin")
        monkeypatch.setenv("DATABASE_URL", admin)
        yield Database("auroradsql", admin)
        start_fresh_environment()


def migrate(request_type="Create", **roles):
    return deploy(handler, "migrate", request_type, Revision=HEAD, Roles=roles)


def mappings(cluster):
    return {tuple(row) for row in cluster.execute(text("SELECT pg_role_name, arn FROM sys.iam_pg_role_mappings"))}


def may(cluster, role, statement):
    """Tell whether ``role`` may run ``statement``, and run it."""
    name = cluster.url.rpartition("/")[2]
    engine = create_engine(dsql_url(name, user=role), poolclass=NullPool)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(statement)
    except ProgrammingError as error:
        if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            return False
        raise
    return True


def test_an_empty_cluster_gets_the_schema_the_roles_and_who_takes_them_on(cluster):
    word = migrate(**{SERVICE_ROLE: [LOGIN, REFRESH], CLEANUP_ROLE: [CLEANUP]})
    assert (word["Status"], word["Data"]["Revision"]) == ("SUCCESS", HEAD)
    assert mappings(cluster) == {(SERVICE_ROLE, LOGIN), (SERVICE_ROLE, REFRESH), (CLEANUP_ROLE, CLEANUP)}
    assert cluster.count(users) == 0


def test_again_it_changes_nothing(cluster):
    roles = {SERVICE_ROLE: [LOGIN], CLEANUP_ROLE: [CLEANUP]}
    before = migrate(**roles), mappings(cluster)
    assert (migrate("Update", **roles), mappings(cluster)) == before


def test_a_role_that_has_left_the_stack_is_let_in_no_more(cluster):
    migrate(**{SERVICE_ROLE: [LOGIN, REFRESH], CLEANUP_ROLE: []})
    migrate("Update", **{SERVICE_ROLE: [REFRESH], CLEANUP_ROLE: []})
    assert mappings(cluster) == {(SERVICE_ROLE, REFRESH)}


def test_an_operator_who_migrates_a_cluster_locks_no_function_out(cluster):
    migrate(**{SERVICE_ROLE: [LOGIN], CLEANUP_ROLE: [CLEANUP]})
    assert main([]) == 0
    assert mappings(cluster) == {(SERVICE_ROLE, LOGIN), (CLEANUP_ROLE, CLEANUP)}


@pytest.mark.threat("deployment-custom-resource-call")
@pytest.mark.parametrize("arn", ["*", f"{LOGIN}'; DROP TABLE users; --", "arn:aws:iam::123456789012:user/person"])
def test_what_is_no_role_of_iam_is_let_in_by_no_statement(cluster, arn):
    assert migrate(**{SERVICE_ROLE: [arn], CLEANUP_ROLE: []})["Status"] == "FAILED"
    assert mappings(cluster) == set()


def test_no_key_of_a_cluster_is_binary_and_none_is_made_at_once(cluster):
    """Aurora DSQL User Guide, "Supported data types": ``bytea`` has no index support."""
    migrate(**{SERVICE_ROLE: [], CLEANUP_ROLE: []})
    keys = cluster.execute(
        text(
            "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_index i"
            " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_attribute a ON a.attrelid = i.indexrelid"
            " JOIN pg_class t ON t.oid = i.indrelid WHERE t.relnamespace = 'public'::regnamespace"
        )
    )
    assert {table.name for table in metadata.sorted_tables} <= {row[0].removeprefix("pk_") for row in keys}
    assert [tuple(row) for row in keys if row[2] == "bytea"] == []


@pytest.mark.asvs("13.2.2")
@pytest.mark.threat("database-schema-change")
@pytest.mark.parametrize("role", PRIVILEGES)
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id integer)",
        "ALTER TABLE users ADD COLUMN mine text",
        "DROP TABLE sessions",
        "CREATE INDEX ASYNC mine ON users (name)",
        "GRANT DELETE ON users TO secure_backend",
        "DELETE FROM users",
        "UPDATE alembic_version SET version_num = '0000'",
    ],
)
def test_only_a_migration_changes_the_schema(cluster, role, statement):
    """ASVS 13.2.2."""
    migrate(**{SERVICE_ROLE: [], CLEANUP_ROLE: []})
    if statement.startswith("GRANT"):
        may(cluster, role, text(statement))  # PostgreSQL only warns
        statement = "DELETE FROM users"
    assert not may(cluster, role, text(statement))


@pytest.mark.threat("audit-changed-record", "function-taken-over")
def test_what_answers_requests_can_only_add_to_the_audit_log(cluster):
    """ASVS 16.4.2."""
    migrate(**{SERVICE_ROLE: [], CLEANUP_ROLE: []})
    assert not may(cluster, SERVICE_ROLE, audit_events.delete())
    assert not may(cluster, SERVICE_ROLE, audit_events.update().values(outcome="success"))
    assert may(cluster, SERVICE_ROLE, audit_events.select())
    assert may(cluster, CLEANUP_ROLE, audit_events.delete())


def test_a_privilege_that_is_one_no_more_is_taken_back(cluster):
    migrate(**{SERVICE_ROLE: [], CLEANUP_ROLE: []})
    with create_engine(cluster.url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"GRANT UPDATE, DELETE ON audit_events TO {SERVICE_ROLE}"))
    assert may(cluster, SERVICE_ROLE, audit_events.delete())
    migrate("Update", **{SERVICE_ROLE: [], CLEANUP_ROLE: []})
    assert not may(cluster, SERVICE_ROLE, audit_events.delete())


@pytest.mark.parametrize("table", [table for table in metadata.sorted_tables if table.name != "alembic_version"])
def test_who_is_asked_about_health_sees_nobodys_data(cluster, table):
    migrate(**{SERVICE_ROLE: [], CLEANUP_ROLE: []})
    assert not may(cluster, HEALTH_ROLE, table.select())
    assert may(cluster, HEALTH_ROLE, text("SELECT version_num FROM alembic_version"))


@pytest.mark.parametrize(
    "statement",
    [text("INSERT INTO sessions SELECT * FROM sessions"), users.update().values(role="admin"), passkeys.delete()],
)
def test_what_shows_something_can_make_no_session_and_nobody_an_admin(cluster, statement):
    migrate(**{SERVICE_ROLE: [], CLEANUP_ROLE: []})
    assert not may(cluster, READER_ROLE, statement)


@pytest.mark.threat("database-url-leak")
def test_a_url_that_is_none_shows_nothing_of_its_password(environment, monkeypatch, log_lines):
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://migrations:abc@def:hunter2hunter2@db.example/accounts")
    assert migrate()["Status"] == "FAILED"
    assert "hunter2" not in log_lines.text
    assert "DATABASE_URL: " in log_lines.text


def test_migrate_with_a_hanging_database_fails_within_its_timeout(environment, monkeypatch):
    """CloudFormation gets no response from a function that Lambda has ended, and waits for an hour."""
    timeout = read_template(PROJECT / "template.yaml")["Resources"]["MigrateFunction"]["Properties"]["Timeout"]
    monotonic = time.monotonic
    passed: list[int] = []
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + sum(passed))
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://owner@127.0.0.1:9/accounts")
    with listening("do_connect", lambda *_: passed.append(5 * 60)):
        assert deploy(handler, "migrate", timeout=timeout, Revision=HEAD, Roles={})["Status"] == "FAILED"
    assert 0 < sum(passed) < timeout


@pytest.mark.threat("deployment-half-done")
def test_a_deployment_that_is_rolled_back_leaves_a_newer_schema_alone(empty):
    migrate()
    empty.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert migrate("Update")["Data"]["Revision"] == "9999"
    assert empty.execute(text("SELECT version_num FROM alembic_version")) == [("9999",)]


def test_a_database_that_refuses_ends_the_deployment_and_its_word_says_nothing_more(empty, log_lines):
    empty.execute(text("CREATE VIEW users AS SELECT 1 AS id"))
    word = migrate()
    assert (word["Status"], "Data" in word) == ("FAILED", False)
    assert "users" not in word["Reason"]
    assert "users" in log_lines.text


@pytest.mark.threat("database-deleted")
def test_a_stack_that_is_deleted_leaves_the_data(empty):
    migrate()
    assert deploy(handler, "migrate", "Delete", Revision=HEAD, Roles={})["Status"] == "SUCCESS"
    assert empty.count(users) == 0


@pytest.mark.threat("deployment-half-done")
def test_migrate_with_a_revision_of_a_slower_migration_ends_at_the_newest(empty):
    """Of two migrations at once, the slower may record a revision after the faster has left it."""
    migrate()
    empty.execute(text("UPDATE alembic_version SET version_num = '0004'"))
    empty.execute(text("INSERT INTO alembic_version VALUES ('0001')"))
    assert migrate()["Status"] == "SUCCESS"
    assert empty.execute(text("SELECT version_num FROM alembic_version")) == [(HEAD,)]


@pytest.mark.threat("deployment-half-done")
def test_of_two_at_once_both_succeed(empty):
    """A deployment, and somebody's `make migrate`."""
    command = [sys.executable, "-c", "from tools.migrate import main; raise SystemExit(main())"]
    both = [subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=60)[0] for process in both] == [f"the schema is at revision {HEAD}\n"] * 3
    with create_engine(empty.url, poolclass=NullPool).connect() as connection:
        assert current_revision(connection) == HEAD


@contextmanager
def changes_of_privileges():
    """Yield a list of the statements that grant or revoke from here on."""
    found = []

    def note(_connection, _cursor, statement, *_):
        if statement.startswith(("GRANT", "REVOKE", "AWS IAM")):
            found.append(statement)

    with listening("before_cursor_execute", note):
        yield found


@pytest.mark.threat("deployment-half-done")
@pytest.mark.parametrize("kind", ["cluster", "postgresql"])
def test_a_second_migration_changes_no_privilege(request, postgres, kind):
    """Each GRANT and REVOKE may conflict with live traffic."""
    if kind == "cluster":
        request.getfixturevalue("cluster")
        iam_roles = {SERVICE_ROLE: [LOGIN]}
    else:
        request.getfixturevalue("empty")
        iam_roles = {}
        if (SERVICE_ROLE,) not in postgres.execute("SELECT rolname FROM pg_roles"):
            postgres.execute(f"CREATE ROLE {SERVICE_ROLE}")
    with changes_of_privileges() as first:
        assert migrate(**iam_roles)["Status"] == "SUCCESS"
    with changes_of_privileges() as second:
        assert migrate(**iam_roles)["Status"] == "SUCCESS"
    assert first
    assert second == []


@pytest.mark.threat("function-taken-over")
def test_a_migration_revokes_what_a_role_has_too_much(empty, postgres):
    if (SERVICE_ROLE,) not in postgres.execute("SELECT rolname FROM pg_roles"):
        postgres.execute(f"CREATE ROLE {SERVICE_ROLE}")
    migrate()
    empty.execute(text(f"GRANT DELETE, TRUNCATE ON audit_events TO {SERVICE_ROLE}"))
    empty.execute(text(f"REVOKE INSERT ON audit_events FROM {SERVICE_ROLE}"))
    with changes_of_privileges() as changes:
        migrate()
    assert changes == [
        f"GRANT INSERT ON audit_events TO {SERVICE_ROLE}",
        f"REVOKE DELETE, TRUNCATE ON audit_events FROM {SERVICE_ROLE}",
    ]


def test_elsewhere_roles_that_are_there_get_their_privileges(empty, postgres):
    if (SERVICE_ROLE,) not in postgres.execute("SELECT rolname FROM pg_roles"):
        postgres.execute(f"CREATE ROLE {SERVICE_ROLE}")
    assert migrate()["Status"] == "SUCCESS"
    query = "SELECT table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee = :role"
    granted = empty.execute(text(query).bindparams(role=SERVICE_ROLE))
    assert {tuple(row) for row in granted} == {
        (table, privilege) for table, allowed in PRIVILEGES[SERVICE_ROLE].items() for privilege in allowed
    }
