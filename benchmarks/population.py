"""A database full of people: copies of one, whose rows the service itself has written.

So every row has the size and the content that the service gives it, and everybody has the same password. What differs
is what rows are found by: ids, addresses, hashes, times. The MACs of copied audit records are therefore wrong, and
their personal fields cannot be opened: whoever reads them does the same work, and then says so.
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

#: Audit records of each person, and the milliseconds that they are spread over: as long as the log is kept.
RECORDS: Final = 10
SPAN: Final = 400 * 24 * 3600 * 1000
#: Records of a chain.
_CHAIN: Final = 1_000
#: A prime: no two numbers below 2**32 become the same by it, and ids are as scattered as random ones.
_SCATTER: Final = 2_654_435_761


def email_of(number: int) -> str:
    """Return a person's address."""
    return f"person{number}@example.com"


def id_of(number: int) -> UUID:
    """Return a person's id, which is that of their session, too."""
    return UUID(f"{number * _SCATTER % 2**32:010}0000{number:018}")


def populate(url: str, *, people: int) -> None:
    """Fill the database at ``url``, which is the one of the service in this process.

    The rows are made in the database, without a driver in between: ten million take minutes, and not an hour.
    """
    template = _live()
    start_fresh_environment()  # a connection of the service's would keep SQLite from changing its journal
    engine = create_engine(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        if is_sqlite:
            # What is cut off here is made anew. The service sets both for its own connections.
            connection.exec_driver_sql("PRAGMA journal_mode = OFF")
            connection.exec_driver_sql("PRAGMA synchronous = OFF")
        _copy_person(connection, UUID(template.id), people)
        _copy_records(connection, UUID(template.id), people)
        if not is_sqlite:
            # As autovacuum does some time later. On SQLite nobody does.
            connection.exec_driver_sql("VACUUM (ANALYZE)")
    engine.dispose()


def _live() -> Account:
    """Let one person do what is then in the audit log as often as there are people: ``RECORDS`` events."""
    person = sign_up("template@example.com")
    refresh(refresh(person.refresh_token).json["refresh_token"])
    log_in(person.email, password="wrong wrong wrong wrong")  # noqa: S106 - it is nobody's
    get_user(str(id_of(0)), token=person.access_token)
    refresh(log_in(person.email).json["refresh_token"])
    return person


def _copy_person(connection: Connection, template: UUID, people: int) -> None:
    number = _Number(people)
    person = _one(connection, select(users).where(users.c.id == template))
    salt = _one(connection, select(audit_salts).where(audit_salts.c.user_id == template))
    session = _one(connection, select(sessions).where(sessions.c.user_id == template))
    live = refresh_tokens.c.spent_at.is_(None), sessions.c.user_id == template
    token = _one(connection, select(refresh_tokens).join(sessions).where(*live))
    address = literal("person", String).concat(cast(number.value, String)).concat("@example.com")
    number.insert(connection, users, person, id=number.as_id(), email=address)
    number.insert(connection, audit_salts, salt, user_id=number.as_id())
    number.insert(connection, sessions, session, id=number.as_id(), user_id=number.as_id())
    number.insert(connection, refresh_tokens, token, token_hash=number.as_bytes(32), session_id=number.as_id())


def _one(connection: Connection, statement: Select[Any]) -> dict[str, Any]:
    return dict(connection.execute(statement.limit(1)).mappings().one())


def _copy_records(connection: Connection, template: UUID, people: int) -> None:
    found = select(audit_events).where(audit_events.c.user_id == template).order_by(audit_events.c.sequence)
    records = connection.execute(found).mappings().all()
    assert len(records) == RECORDS
    number = _Number(people * RECORDS)
    owner = _Number(people, number.value % people)
    # A person's records are all of the template's, at ten times of the log.
    which = (number.value + number.value // people) % RECORDS
    chain = _Number(0, number.value // _CHAIN)
    copied = {
        column.name: case(
            {place: literal(record[column.name], column.type) for place, record in enumerate(records)}, value=which
        )
        for column in audit_events.columns
    }
    begin = round(time.time() * 1000) - SPAN
    # What SQLite has been told about its indexes goes with them.
    told = connection.exec_driver_sql("SELECT * FROM sqlite_stat1").all() if connection.dialect.name == "sqlite" else []
    # Sorting all keys at once is faster than finding a place for each.
    for index in audit_events.indexes:
        index.drop(connection)
    number.insert(
        connection,
        audit_events,
        copied,
        chain_id=chain.as_id(),
        sequence=number.value % _CHAIN,
        time=begin + number.value * (SPAN // (people * RECORDS)),
        user_id=owner.as_id(),
        source=owner.as_bytes(16),
    )
    for index in audit_events.indexes:
        index.create(connection)
    if told:
        connection.exec_driver_sql("DELETE FROM sqlite_stat1")
        connection.exec_driver_sql("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", [tuple(row) for row in told])


class _Number:
    """A number in SQL, from 0 on; and what is made of it, in words that SQLite and PostgreSQL have in common."""

    def __init__(self, end: int, value: ColumnElement[int] | None = None) -> None:
        start = select(cast(0, BigInteger).label("value")).cte("numbers", recursive=True)
        self._numbers = start.union_all(select(start.c.value + 1).where(start.c.value < end - 1))
        self.value: ColumnElement[int] = self._numbers.c.value if value is None else value

    def _digits(self) -> ColumnElement[str]:
        """Return the digits of ``id_of``: a UUID need not use the other six."""
        scattered = cast(10**10 + self.value * _SCATTER % 2**32, String)
        padded = cast(10**18 + self.value, String)
        return func.substr(scattered, 2).concat("0000").concat(func.substr(padded, 2))

    def as_id(self) -> ColumnElement[UUID]:
        return cast(self._digits(), Uuid)

    def as_bytes(self, length: int) -> ColumnElement[bytes]:
        # The end: two numbers may begin alike.
        return cast(func.substr(self._digits(), 33 - length), LargeBinary)

    def insert(
        self, connection: Connection, table: Table, row: Mapping[str, Any], **changes: ColumnElement[Any]
    ) -> None:
        """Insert ``row`` once for each number, with ``changes``."""
        columns = {column.name: column for column in table.columns}
        values = [changes.get(name, _constant(row[name], column)) for name, column in columns.items()]
        connection.execute(insert(table).from_select(list(columns), select(*values)))


def _constant(value: Any, column: ColumnElement[Any]) -> ColumnElement[Any]:
    return value if isinstance(value, ColumnElement) else literal(value, column.type)
