"""A stand-in for Aurora DSQL: a real PostgreSQL with the limits and the extra statements of Aurora DSQL.

The limits are those of the Aurora DSQL User Guide: "Supported SQL", "Supported data types" and "Quotas and limits". The
service connects with the same dialect and the same kind of token as on AWS. PostgreSQL does not check the token.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, event

#: A host name like a cluster's endpoint. Connections to this host reach PostgreSQL's socket.
ENDPOINT: Final = "abcdefghijklmnopqrstuvwxyz.dsql.eu-central-1.on.aws"
#: The number of rows that a transaction may change.
_MAX_ROWS: Final = 3_000

_DDL: Final = re.compile(r"\s*(CREATE|ALTER|DROP|GRANT|REVOKE|AWS IAM)\b", re.IGNORECASE)
_REJECTED: Final = {
    "savepoints": r"\b(SAVEPOINT|ROLLBACK TO|RELEASE)\b",
    "TRUNCATE": r"^\s*TRUNCATE\b",
    "explicit locks": r"^\s*LOCK\b|\bFOR SHARE\b|\bSKIP LOCKED\b|\bpg_\w*advisory\w*lock",
    "SET": r"^\s*SET\b",
    "temporary tables": r"\bCREATE (TEMP|TEMPORARY|UNLOGGED)\b",
    "objects of these types": r"\bCREATE (EXTENSION|TRIGGER|TYPE|MATERIALIZED|DATABASE)\b",
    "collations other than C": r"\bCOLLATE\b",
    "SERIAL columns": r"\b(SMALL|BIG)?SERIAL\b",
    "CREATE INDEX without ASYNC": r"\bCREATE (UNIQUE )?INDEX (?!ASYNC\b)",
    "CONCURRENTLY": r"\bINDEX\b.*\bCONCURRENTLY\b",
    "the order of an index": r"\bINDEX\b.*\b(ASC|DESC)\b",
}
#: The only FOR UPDATE that Aurora DSQL accepts: rows of one table, selected by the whole primary key.
_LOCKING: Final = re.compile(r"SELECT .*\sFROM (\w+)\s+WHERE \1\.id = %\(\w+\)s(::UUID)? FOR UPDATE", re.DOTALL)
#: The table and the SET clause of an UPDATE.
_UPDATE: Final = re.compile(r"\s*UPDATE (\w+) SET (.*?)(?:\sWHERE\s.*)?", re.DOTALL | re.IGNORECASE)
_PRIMARY_KEY: Final = """
    SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
    WHERE indisprimary AND indrelid = CAST(%s AS regclass)
"""
_MAPPING: Final = re.compile(r"AWS IAM (GRANT|REVOKE) (\w+) (?:TO|FROM) '([^']+)'")


class RejectedByAuroraDSQL(AssertionError):
    """A statement that works on PostgreSQL and would fail on Aurora DSQL."""

    def __init__(self, why: str, what: object) -> None:
        super().__init__(f"{why}: {what}")


@contextmanager
def aurora_dsql_stand_in(*, socket: str) -> Iterator[None]:
    """Connect engines with Aurora DSQL's dialect and host ``ENDPOINT`` to the PostgreSQL at ``socket``."""

    def reach(_dialect: object, _record: object, _arguments: list[Any], options: dict[str, Any]) -> None:
        if options.get("host") == ENDPOINT:
            options["host"] = socket
            # Aurora DSQL has only this isolation level. A setting of the database would not be copied to other ones.
            options["options"] = r"-c default_transaction_isolation=repeatable\ read"

    listeners: dict[str, tuple[Callable[..., Any], dict[str, bool]]] = {
        "do_connect": (reach, {}),
        "begin": (_begin, {}),
        "before_cursor_execute": (_translate, {"retval": True}),
        "after_cursor_execute": (_count_rows, {}),
    }
    for name, (listener, options) in listeners.items():
        event.listen(Engine, name, listener, **options)
    yield
    for name, (listener, _) in listeners.items():
        event.remove(Engine, name, listener)


def _begin(connection: Connection) -> None:
    connection.info["changed"] = 0


def _translate(connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object) -> tuple[str, Any]:
    if connection.dialect.name == "auroradsql":
        _check(connection, statement)
        statement = _in_postgresql(statement)
    return statement, parameters


def _count_rows(connection: Connection, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
    if connection.dialect.name == "auroradsql" and not statement.startswith("SELECT"):
        waits = cursor.rowcount < 0  # The server has not executed the statement (``write_later``).
        changed = len(parameters) if isinstance(parameters, list) else 1
        connection.info["changed"] += changed if waits else cursor.rowcount
        if connection.info["changed"] > _MAX_ROWS:
            raise RejectedByAuroraDSQL("too many rows in a transaction", connection.info["changed"])


def _check(connection: Connection, statement: str) -> None:
    for what, pattern in _REJECTED.items():
        if re.search(pattern, statement, re.IGNORECASE):
            raise RejectedByAuroraDSQL(what, statement)
    if "FOR UPDATE" in statement and not _LOCKING.search(statement):
        raise RejectedByAuroraDSQL("FOR UPDATE that does not select by the primary key of one table", statement)
    if (update := _UPDATE.fullmatch(statement)) and (key := _primary_key(connection, update[1])):
        changed = {name.partition("=")[0].strip() for name in update[2].split(",")}
        if key & changed:
            raise RejectedByAuroraDSQL("a change of a primary key", statement)
    in_autocommit: bool = connection.connection.dbapi_connection.autocommit  # type: ignore[union-attr]
    if _DDL.match(statement) and not in_autocommit:
        raise RejectedByAuroraDSQL("DDL together with other statements in a transaction", statement)


def _primary_key(connection: Connection, table: str) -> set[str]:
    """Return the columns of a table's primary key. They are read once, because tests count the statements."""
    if table not in _primary_keys:
        cursor = connection.connection.cursor()
        try:
            cursor.execute(_PRIMARY_KEY, [table])
            _primary_keys[table] = {name for (name,) in cursor.fetchall()}
        finally:
            cursor.close()
    return _primary_keys[table]


_primary_keys: dict[str, set[str]] = {}


def _in_postgresql(statement: str) -> str:
    """Translate the statements that only Aurora DSQL has: AWS IAM GRANT or REVOKE, and INDEX ASYNC."""
    if mapping := _MAPPING.fullmatch(statement):
        verb, role, arn = mapping.groups()
        table = "sys.iam_pg_role_mappings"
        if verb == "GRANT":
            return f"INSERT INTO {table} (arn, pg_role_name) VALUES ('{arn}', '{role}')"
        return f"DELETE FROM {table} WHERE arn = '{arn}' AND pg_role_name = '{role}'"
    return statement.replace(" INDEX ASYNC ", " INDEX ")
