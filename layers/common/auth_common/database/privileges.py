"""Roles and privileges in the database: functions change rows, and only a migration changes the schema.

The roles are PostgreSQL roles (ASVS 5.0 13.2.2). On Aurora DSQL a migration creates them and maps IAM roles to them, so
a function logs in by its IAM role. On PostgreSQL the deployer creates them with a login, and a migration grants their
privileges.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, text

from auth_common.settings import own_stack

#: The role of functions that change data.
SERVICE_ROLE: Final = "secure_backend"
#: The role of the registration, which may also delete accounts, because it replaces unverified ones.
REGISTRATION_ROLE: Final = "secure_backend_registration"
#: The role of the function that secures an account after "this was not me". It opens no session.
SECURING_ROLE: Final = "secure_backend_securing"
#: The role of the function that revokes refresh tokens. It opens no session and issues no token.
REVOCATION_ROLE: Final = "secure_backend_revocation"
#: The role of functions that only return data.
READER_ROLE: Final = "secure_backend_reader"
HEALTH_ROLE: Final = "secure_backend_health"
#: The only role that may change or delete rows of the audit log.
CLEANUP_ROLE: Final = "secure_backend_cleanup"
#: The role of the function that sends mails.
MAIL_ROLE: Final = "secure_backend_mail"

#: The role of the function that issues tokens to clients.
CLIENTS_ROLE: Final = "secure_backend_clients"
#: The role of the function that introspects tokens. It changes no account and no session.
INTROSPECTION_ROLE: Final = "secure_backend_introspection"

_ALL: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")

#: What functions that change data may do.
_SERVICE: Final[Mapping[str, Sequence[str]]] = {
    "alembic_version": ["SELECT"],
    "users": ["SELECT", "INSERT", "UPDATE"],
    "sessions": ["SELECT", "INSERT", "UPDATE"],
    "refresh_tokens": ["SELECT", "INSERT", "UPDATE"],
    "challenges": ["SELECT", "INSERT", "DELETE"],
    "passkeys": _ALL,
    "audit_events": ["SELECT", "INSERT"],
    "audit_salts": ["SELECT", "INSERT"],
    "throttles": _ALL,
    "mail_tokens": _ALL,
    "mails": ["INSERT"],
    "email_changes": ["SELECT", "INSERT", "DELETE"],
}
#: What functions that authenticate clients may do.
_CLIENTS: Final[Mapping[str, Sequence[str]]] = {
    "alembic_version": ["SELECT"],
    "clients": ["SELECT"],
    "client_assertions": ["SELECT", "INSERT"],
    "audit_events": ["SELECT", "INSERT"],
    "audit_salts": ["SELECT"],
    "throttles": _ALL,
}
#: The privileges of each role, by table. All others are revoked.
PRIVILEGES: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    SERVICE_ROLE: _SERVICE,
    REGISTRATION_ROLE: {
        **_SERVICE,
        **dict.fromkeys(("users", "sessions", "refresh_tokens"), _ALL),
        "mails": _ALL,
    },
    SECURING_ROLE: {
        "alembic_version": ["SELECT"],
        "users": ["SELECT", "UPDATE"],
        "sessions": ["SELECT", "UPDATE"],
        "passkeys": ["SELECT", "DELETE"],
        "email_changes": ["SELECT", "DELETE"],
        "audit_events": ["SELECT", "INSERT"],
        "audit_salts": ["SELECT", "INSERT"],
        "throttles": _ALL,
        "mail_tokens": _ALL,
        "mails": ["SELECT", "INSERT", "DELETE"],
    },
    REVOCATION_ROLE: {
        "alembic_version": ["SELECT"],
        "users": ["SELECT"],
        "sessions": ["SELECT", "UPDATE"],
        "refresh_tokens": ["SELECT"],
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
        "users": ["SELECT", "DELETE"],
        "mail_tokens": ["SELECT", "DELETE"],
        "sessions": ["SELECT", "DELETE"],
        "refresh_tokens": ["SELECT", "DELETE"],
        "passkeys": ["SELECT"],
        "challenges": ["SELECT", "DELETE"],
        "throttles": ["SELECT", "DELETE"],
        "audit_events": _ALL,
        "audit_salts": ["SELECT", "INSERT", "DELETE"],
        "mails": ["SELECT", "UPDATE", "DELETE"],
        "mail_suppressions": ["SELECT", "DELETE"],
        "email_changes": ["SELECT", "DELETE"],
        "client_assertions": ["SELECT", "DELETE"],
    },
    MAIL_ROLE: {
        "alembic_version": ["SELECT"],
        # It reads ids only, for the salts of audit records. AWS does not document column privileges on Aurora DSQL, and
        # on PostgreSQL one login has all roles. So a sender that an attacker has taken over can read the users.
        "users": ["SELECT"],
        "audit_events": ["SELECT", "INSERT"],
        "audit_salts": ["SELECT", "INSERT"],
        "mails": ["SELECT", "UPDATE"],
        "mail_suppressions": ["SELECT", "INSERT", "UPDATE"],
        "mail_pauses": ["SELECT", "INSERT", "UPDATE"],
    },
    CLIENTS_ROLE: _CLIENTS,
    INTROSPECTION_ROLE: {**_CLIENTS, "users": ["SELECT"], "sessions": ["SELECT"]},
}
_TABLES: Final = sorted({table for privileges in PRIVILEGES.values() for table in privileges})

_SELECT_GRANTED: Final = text(
    "SELECT table_name, privilege_type FROM information_schema.role_table_grants "
    "WHERE grantee = :role AND table_schema = current_schema()"
)

#: The name of an IAM role (IAM User Guide, "IAM and STS quotas").
_ROLE_NAME: Final = re.compile(r"[\w+=,.@-]+", re.ASCII)


def grant_privileges(connection: Connection, iam_roles: Mapping[str, Sequence[str]]) -> None:
    """Give each existing role exactly the privileges of ``PRIVILEGES``. Do nothing on SQLite, which has no roles.

    Only differences are granted and revoked, because each such statement may conflict with live traffic on Aurora DSQL.

    Args:
        connection: A connection of the schema's owner, in AUTOCOMMIT mode.
        iam_roles: On Aurora DSQL, by role, the ARNs of exactly those IAM roles that are mapped to it. The mappings of a
            role that is not a key stay as they are.

    Raises:
        ValueError: An ARN is not the ARN of a role of this stack.

    """
    if connection.dialect.name == "sqlite":
        return
    existing_roles = set(connection.scalars(text("SELECT rolname FROM pg_roles")))
    for role, privileges in PRIVILEGES.items():
        if connection.dialect.name == "auroradsql":
            if role not in existing_roles:
                connection.execute(text(f"CREATE ROLE {role} WITH LOGIN"))
            if role in iam_roles:
                _map_iam_roles(connection, role, set(iam_roles[role]))
        elif role not in existing_roles:
            continue
        granted = _granted(connection, role)
        for table in _TABLES:
            allowed, has = set(privileges.get(table, ())), granted.get(table, set())
            if missing := sorted(allowed - has):
                connection.execute(text(f"GRANT {', '.join(missing)} ON {table} TO {role}"))
            if surplus := sorted(has - allowed):
                connection.execute(text(f"REVOKE {', '.join(surplus)} ON {table} FROM {role}"))


def _granted(connection: Connection, role: str) -> dict[str, set[str]]:
    """Return the privileges that a role has, by table."""
    granted: dict[str, set[str]] = {}
    for table, privilege in connection.execute(_SELECT_GRANTED, {"role": role}):
        granted.setdefault(table, set()).add(privilege)
    return granted


def _map_iam_roles(connection: Connection, role: str, arns: set[str]) -> None:
    stack = own_stack()
    for arn in arns:
        # An identity that may call the function must not choose a role of its own, or of another account.
        if not (stack and arn.startswith(stack.role_prefix) and _ROLE_NAME.fullmatch(arn, len(stack.role_prefix))):
            message = "not the ARN of a role of this stack"
            raise ValueError(message)
    query = text("SELECT arn FROM sys.iam_pg_role_mappings WHERE pg_role_name = :role")
    before = set(connection.scalars(query, {"role": role}))
    for arn in sorted(arns - before):
        connection.execute(text(f"AWS IAM GRANT {role} TO '{_quoted(arn)}'"))
    for arn in sorted(before - arns):
        connection.execute(text(f"AWS IAM REVOKE {role} FROM '{_quoted(arn)}'"))


def _quoted(arn: str) -> str:
    # ``text()`` would read a name after a colon as a parameter.
    return arn.replace(":", "\\:")
