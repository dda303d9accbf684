"""Fill a database with many users: copies of one user, whose rows the service has written.

So the rows have realistic sizes and contents, and all users have the same password. Only the columns that rows are
found
by differ: ids, e-mail addresses, hashes and times. The MACs of copied audit records are therefore wrong, and their
personal fields cannot be decrypted. A reader does the same work for such a record, and marks it as tampered.
"""

import time
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    LargeBinary,
    Select,
    String,
    Table,
    Uuid,
    case,
    cast,
    create_engine,
    func,
    insert,
    literal,
    select,
)

from auth_common.database.tables import audit_events, audit_salts, refresh_tokens, sessions, users
from tests.support.databases import start_fresh_environment
from tests.support.factories import Account, get_user, log_in, refresh, sign_up

#: Audit records of each user, and the interval of all records in milliseconds, which is the retention of the log.
RECORDS_PER_USER: Final = 10
RECORDS_SPAN_MS: Final = 400 * 24 * 3600 * 1000
#: Audit records in each chain.
_RECORDS_PER_CHAIN: Final = 1_000
#: A prime. Multiplication by it modulo 2**32 maps numbers to distinct ids, which are scattered like random ones.
_SCATTER: Final = 2_654_435_761


def email_of_user(number: int) -> str:
    """Return the e-mail address of a user."""
    return f"user{number}@example.com"


def id_of_user(number: int) -> UUID:
    """Return the id of a user, which is also the id of the user's session."""
    return UUID(f"{number * _SCATTER % 2**32:010}0000{number:018}")


def populate(url: str, *, user_count: int) -> None:
    """Fill the database at ``url``, which the service in this process uses.

    SQL statements create the rows in the database, so ten million rows take minutes instead of an hour.
    """
    template = _create_template_user()
    start_fresh_environment()  # closes the service's connections, which would prevent a change of SQLite's journal mode
    engine = create_engine(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        if is_sqlite:
            # An interruption would damage the file, but it is temporary. The service sets both for its own connections.
            connection.exec_driver_sql("PRAGMA journal_mode = OFF")
            connection.exec_driver_sql("PRAGMA synchronous = OFF")
        _copy_user(connection, UUID(template.id), user_count)
        _copy_records(connection, UUID(template.id), user_count)
        if not is_sqlite:
            # Autovacuum would do this some time later. SQLite has no such process.
            connection.exec_driver_sql("VACUUM (ANALYZE)")
    engine.dispose()


def _create_template_user() -> Account:
    """Create the user whose rows are copied, with ``RECORDS_PER_USER`` audit records."""
    account = sign_up("template@example.com")
    refresh(refresh(account.refresh_token).json["refresh_token"])
    log_in(account.email, password="wrong wrong wrong wrong")  # noqa: S106 - not a real password
    get_user(str(id_of_user(0)), token=account.access_token)
    refresh(log_in(account.email).json["refresh_token"])
    return account


def _copy_user(connection: Connection, template: UUID, user_count: int) -> None:
    number = _Number(user_count)
    user = _one(connection, select(users).where(users.c.id == template))
    salt = _one(connection, select(audit_salts).where(audit_salts.c.user_id == template))
    session = _one(connection, select(sessions).where(sessions.c.user_id == template))
    is_current = refresh_tokens.c.spent_at.is_(None), sessions.c.user_id == template
    token = _one(connection, select(refresh_tokens).join(sessions).where(*is_current))
    email = literal("user", String).concat(cast(number.value, String)).concat("@example.com")
    number.insert(connection, users, user, id=number.as_id(), email=email)
    number.insert(connection, audit_salts, salt, user_id=number.as_id())
    number.insert(connection, sessions, session, id=number.as_id(), user_id=number.as_id())
    number.insert(connection, refresh_tokens, token, token_hash=number.as_bytes(32), session_id=number.as_id())


def _one(connection: Connection, statement: Select[Any]) -> dict[str, Any]:
    return dict(connection.execute(statement.limit(1)).mappings().one())


def _copy_records(connection: Connection, template: UUID, user_count: int) -> None:
    found = select(audit_events).where(audit_events.c.user_id == template).order_by(audit_events.c.sequence)
    records = connection.execute(found).mappings().all()
    assert len(records) == RECORDS_PER_USER
    number = _Number(user_count * RECORDS_PER_USER)
    user_number = _Number(user_count, number.value % user_count)
    # Each user has a copy of each record of the template, at ten different times.
    record_number = (number.value + number.value // user_count) % RECORDS_PER_USER
    chain = _Number(0, number.value // _RECORDS_PER_CHAIN)
    copied = {
        column.name: case(
            {place: literal(record[column.name], column.type) for place, record in enumerate(records)},
            value=record_number,
        )
        for column in audit_events.columns
    }
    begin = round(time.time() * 1000) - RECORDS_SPAN_MS
    # SQLite deletes its statistics about an index with the index.
    statistics = (
        connection.exec_driver_sql("SELECT * FROM sqlite_stat1").all() if connection.dialect.name == "sqlite" else []
    )
    # The creation of an index over all rows is faster than an insertion of each row.
    for index in audit_events.indexes:
        index.drop(connection)
    number.insert(
        connection,
        audit_events,
        copied,
        chain_id=chain.as_id(),
        sequence=number.value % _RECORDS_PER_CHAIN,
        time=begin + number.value * (RECORDS_SPAN_MS // (user_count * RECORDS_PER_USER)),
        user_id=user_number.as_id(),
        source=user_number.as_bytes(16),
    )
    for index in audit_events.indexes:
        index.create(connection)
    if statistics:
        connection.exec_driver_sql("DELETE FROM sqlite_stat1")
        connection.exec_driver_sql("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", [tuple(row) for row in statistics])


class _Number:
    """The numbers from 0 in SQL, and values that are computed from them, in the common SQL of SQLite and PostgreSQL."""

    def __init__(self, end: int, value: ColumnElement[int] | None = None) -> None:
        start = select(cast(0, BigInteger).label("value")).cte("numbers", recursive=True)
        self._numbers = start.union_all(select(start.c.value + 1).where(start.c.value < end - 1))
        self.value: ColumnElement[int] = self._numbers.c.value if value is None else value

    def _digits(self) -> ColumnElement[str]:
        """Return the hexadecimal digits of ``id_of_user``. They are decimal digits only."""
        scattered = cast(10**10 + self.value * _SCATTER % 2**32, String)
        padded = cast(10**18 + self.value, String)
        return func.substr(scattered, 2).concat("0000").concat(func.substr(padded, 2))

    def as_id(self) -> ColumnElement[UUID]:
        return cast(self._digits(), Uuid)

    def as_bytes(self, length: int) -> ColumnElement[bytes]:
        # The last digits, because the first digits of two numbers may be the same.
        return cast(func.substr(self._digits(), 33 - length), LargeBinary)

    def insert(
        self, connection: Connection, table: Table, row: Mapping[str, Any], **changes: ColumnElement[Any]
    ) -> None:
        """Insert ``row`` once for each number, with the values of ``changes`` in place of the row's own."""
        columns = {column.name: column for column in table.columns}
        values = [changes.get(name, _constant(row[name], column)) for name, column in columns.items()]
        connection.execute(insert(table).from_select(list(columns), select(*values)))


def _constant(value: Any, column: ColumnElement[Any]) -> ColumnElement[Any]:
    return value if isinstance(value, ColumnElement) else literal(value, column.type)
