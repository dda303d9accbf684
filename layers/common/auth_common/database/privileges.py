"""Who may do what in the database: functions change rows, and only a migration changes the schema (ASVS 5.0 13.2.2).

The roles are PostgreSQL's. On Aurora DSQL a migration makes them, and IAM roles take them on: a function proves by IAM
who it is. Elsewhere somebody makes them, with a way to log in, and a migration says what they may do.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, text

#: Of the functions that make or end something; of those that show something; of the health check; and of the clean-up,
#: which alone may change or delete what the audit log has.
SERVICE_ROLE: Final = "secure_backend"
READER_ROLE: Final = "secure_backend_reader"
HEALTH_ROLE: Final = "secure_backend_health"
CLEANUP_ROLE: Final = "secure_backend_cleanup"

_ALL: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")

#: What each may do with each table, and no more.
PRIVILEGES: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    SERVICE_ROLE: {
        "alembic_version": ["SELECT"],
        "users": ["SELECT", "INSERT", "UPDATE"],
        "sessions": ["SELECT", "INSERT", "UPDATE"],
        "refresh_tokens": ["SELECT", "INSERT", "UPDATE"],
        "challenges": ["SELECT", "INSERT", "DELETE"],
        "passkeys": _ALL,
        "audit_events": ["SELECT", "INSERT"],
        "audit_salts": ["SELECT", "INSERT"],
        "throttles": _ALL,
    },
    READER_ROLE: {
        "alembic_version": ["SELECT"],
        "users": ["SELECT"],
        "sessions": ["SELECT"],
        "passkeys": ["SELECT"],
        "audit_events": ["SELECT", "INSERT"],
        "audit_salts": ["SELECT", "INSERT"],
        "throttles": _ALL,
    },
    HEALTH_ROLE: {"alembic_version": ["SELECT"]},
    CLEANUP_ROLE: {
        "alembic_version": ["SELECT"],
        "users": ["SELECT"],
        "sessions": ["SELECT", "DELETE"],
        "refresh_tokens": ["SELECT", "DELETE"],
        "challenges": ["SELECT", "DELETE"],
        "throttles": ["SELECT", "DELETE"],
        "audit_events": _ALL,
        "audit_salts": ["SELECT", "INSERT", "DELETE"],
    },
}
_TABLES: Final = sorted({table for privileges in PRIVILEGES.values() for table in privileges})

_SELECT_GRANTED: Final = text(
    "SELECT table_name, privilege_type FROM information_schema.role_table_grants "
    "WHERE grantee = :role AND table_schema = current_schema()"
)

#: A role in IAM (IAM User Guide, "IAM identifiers").
_ROLE_ARN: Final = re.compile(r"arn:[a-z-]+:iam::[0-9]{12}:role/[\w+=,.@/-]+", re.ASCII)


def grant_privileges(connection: Connection, iam_roles: Mapping[str, Sequence[str]]) -> None:
    """Let each role do what ``PRIVILEGES`` says. A database without roles (SQLite) has none.

    Only differences are granted and revoked: on Aurora DSQL each such statement may conflict with live traffic.

    Args:
        connection: the schema's owner's, in AUTOCOMMIT mode.
        iam_roles: on Aurora DSQL, the ARNs of the IAM roles that may take on a role, and no others; who may take on a
            role that is not in it stays as it is.

    Raises:
        ValueError: one of them is no such ARN.

    """
    if connection.dialect.name == "sqlite":
        return
    there = set(connection.scalars(text("SELECT rolname FROM pg_roles")))
    for role, privileges in PRIVILEGES.items():
        if connection.dialect.name == "auroradsql":
            if role not in there:
                connection.execute(text(f"CREATE ROLE {role} WITH LOGIN"))
            if role in iam_roles:
                _let_take_on(connection, role, set(iam_roles[role]))
        elif role not in there:
            continue
        granted = _granted(connection, role)
        for table in _TABLES:
            allowed, has = set(privileges.get(table, ())), granted.get(table, set())
            if missing := sorted(allowed - has):
                connection.execute(text(f"GRANT {', '.join(missing)} ON {table} TO {role}"))
            if surplus := sorted(has - allowed):
                connection.execute(text(f"REVOKE {', '.join(surplus)} ON {table} FROM {role}"))


def _granted(connection: Connection, role: str) -> dict[str, set[str]]:
    """Return the privileges that a role has been granted, by table."""
    granted: dict[str, set[str]] = {}
    for table, privilege in connection.execute(_SELECT_GRANTED, {"role": role}):
        granted.setdefault(table, set()).add(privilege)
    return granted


def _let_take_on(connection: Connection, role: str, arns: set[str]) -> None:
    for arn in arns:
        if not _ROLE_ARN.fullmatch(arn):
            message = "not the ARN of a role in IAM"
            raise ValueError(message)
    query = text("SELECT arn FROM sys.iam_pg_role_mappings WHERE pg_role_name = :role")
    before = set(connection.scalars(query, {"role": role}))
    for arn in sorted(arns - before):
        connection.execute(text(f"AWS IAM GRANT {role} TO '{_quoted(arn)}'"))
    for arn in sorted(before - arns):
        connection.execute(text(f"AWS IAM REVOKE {role} FROM '{_quoted(arn)}'"))


def _quoted(arn: str) -> str:
    # ``text()`` would take what follows a colon for the name of a parameter.
    return arn.replace(":", "\\:")
