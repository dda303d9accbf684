"""The statements of the audit log: records, pages, counts and deletions.

An attacker who can insert rows can store any value that the database accepts, and SQLite accepts every type in every
column. So values are read without conversion, and long ones only in part. A value that the service never writes makes
its row unreadable (``StoredRow``) and does not fail the query.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.sql.expression import ColumnCollection

from auth_common.database.pipeline import write_later
from auth_common.database.tables import AsStored, as_row, audit_events, users
from auth_common.events.vocabulary import Severity
from auth_common.keys.keyed_hashes import source_index

#: Records per batch of ``select_all``.
_CHAIN_BATCH: Final = 1000
#: Ten times as long as the longest record of the service. A page of such records fits into a response of Lambda.
MAX_RECORD_CHARACTERS: Final = 16_384
#: How far the clock of an environment may be ahead. Only an attacker writes a record with a later time.
MAX_CLOCK_LEAD: Final = timedelta(days=1)
_MAC_BYTES: Final = 32
_SOURCE_BYTES: Final = 16
#: The largest 64-bit integer, which is later than every time.
_LATEST: Final = 2**63 - 1
_HEXADECIMAL_UUID: Final = re.compile("[0-9a-f]{32}")

#: ``(time, chain_id, sequence)`` of a record, by which the log is ordered: an integer, a UUID and an integer. On SQLite
#: an attacker may have stored other types.
Place = tuple[Any, Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One audit record. The MAC covers ``record``, and the other columns repeat parts of it for queries."""

    chain_id: UUID
    #: From 0, without gaps.
    sequence: int
    #: Milliseconds since the epoch.
    time: int
    name: str
    #: ``success`` or ``failure``.
    outcome: str
    #: OCSF's ``severity_id``.
    severity: int
    user_id: UUID | None
    #: ``source_index`` of the client IP. None if there was no client IP, or if the user has been erased.
    source: bytes | None
    reason: str | None
    #: The event as JSON, exactly as the MAC covers it.
    record: str
    mac: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRow:
    """A row that was read from the table, which an attacker may have changed."""

    #: The row, with substitutes for values that the service never writes.
    row: AuditRow
    #: Whether ``row`` has no substitutes.
    is_readable: bool
    #: Whether the chain and the sequence are readable.
    has_place: bool
    #: The MAC of the previous record in the chain. None if it was not selected, or has the wrong length.
    previous_mac: bytes | None
    #: The place of the record in the order of the log.
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Which records a reader asks for, in the words of GET /audit/events. None accepts every value."""

    #: Inclusive.
    from_: datetime | None = None
    #: Exclusive.
    to: datetime | None = None
    #: The name of a security event.
    event: str | None = None
    #: ``success`` or ``failure``.
    outcome: str | None = None
    #: OCSF's ``severity_id``. More severe records match too.
    severity: int | None = None
    user_id: UUID | None = None
    #: In the form of ``request_context.canonical_ip``.
    ip: str | None = None
    reason: str | None = None
    #: Records with this reason do not match.
    except_reason: str | None = None

    def __str__(self) -> str:
        """Return the query as the record of the reading keeps it, without the client IP, which is personal data."""
        asked = {name.rstrip("_"): getattr(self, name) for name in self.__dataclass_fields__ if name != "ip"}
        return " ".join(f"{name}={value}" for name, value in asked.items() if value is not None) or "everything"


_AS_STORED: Final = AsStored()


def _bounded(column: ColumnElement[Any], length: int) -> ColumnElement[Any]:
    """Return the first ``length`` + 1 characters or bytes. A longer value is not the service's, so this is enough."""
    return func.substr(column, 1, length + 1, type_=_AS_STORED)


_PLACE_COLUMNS: Final = ("time", "chain_id", "sequence")
_PLACE: Final = tuple(type_coerce(audit_events.c[name], _AS_STORED) for name in _PLACE_COLUMNS)
_LENGTHS: Final = {"name": 40, "outcome": 7, "reason": 60, "record": MAX_RECORD_CHARACTERS, "mac": _MAC_BYTES}
_COLUMNS: Final = tuple(
    (
        _bounded(audit_events.c[name], _LENGTHS[name])
        if name in _LENGTHS
        else type_coerce(audit_events.c[name], _AS_STORED)
    ).label(name)
    for name in AuditRow.__dataclass_fields__
)
_previous: Final = audit_events.alias("previous")
#: Each row with the previous MAC, which its own MAC covers. The subtraction is guarded against the smallest integer.
_SELECT: Final = select(*_COLUMNS, _bounded(_previous.c.mac, _MAC_BYTES).label("previous_mac")).outerjoin_from(
    audit_events,
    _previous,
    and_(
        _previous.c.chain_id == audit_events.c.chain_id,
        _previous.c.sequence == case((audit_events.c.sequence > 0, audit_events.c.sequence - 1)),
    ),
)
_INSERT: Final = audit_events.insert()


def insert_rows(connection: Connection, rows: Iterable[AuditRow]) -> None:
    """Insert records. If one exists already, IntegrityError is raised here or at the next statement or commit."""
    write_later(connection, _INSERT, [as_row(row) for row in rows])


def select_existing(connection: Connection, *, user_ids: Collection[UUID]) -> set[UUID]:
    """Return the ids of those users whose account exists."""
    if not user_ids:
        return set()
    return set(connection.execute(select(users.c.id).where(users.c.id.in_(user_ids))).scalars())


def delete_source_hashes_of_erased_users(connection: Connection, since: int, *, limit: int) -> int:
    """Delete the hash of the client IP in up to ``limit`` records of erased users. Return how many.

    Args:
        connection: A connection in a transaction.
        since: Milliseconds since the epoch. Requests write records of a user for seconds after the erasure, so earlier
            runs have handled older records.
        limit: The maximum number of records.

    """
    is_erased = ~exists().where(users.c.id == audit_events.c.user_id)
    has_source = (audit_events.c.user_id.is_not(None), audit_events.c.source.is_not(None))
    key = (audit_events.c.chain_id, audit_events.c.sequence)
    left = select(*key).where(audit_events.c.time >= since, *has_source, is_erased).limit(limit)
    return connection.execute(update(audit_events).where(tuple_(*key).in_(left)).values(source=None)).rowcount


def delete_source_hashes(connection: Connection, *, user_ids: Collection[UUID], limit: int) -> int:
    """Delete the hash of the client IP, by which records are found, in up to ``limit`` records. Return how many."""
    key = (audit_events.c.chain_id, audit_events.c.sequence)
    of_users = audit_events.c.user_id.in_(user_ids)
    known = select(*key).where(of_users, audit_events.c.source.is_not(None)).limit(limit)
    return connection.execute(update(audit_events).where(tuple_(*key).in_(known)).values(source=None)).rowcount


def select_page(
    connection: Connection,
    query: AuditQuery,
    *,
    limit: int,
    before: Place | None = None,
    after: Place | None = None,
    oldest_first: bool = False,
    source: bytes | None = None,
) -> list[StoredRow]:
    """Return records that match, each with the MAC of the previous record in its chain, newest first.

    Args:
        connection: A connection.
        query: Which records match.
        limit: The maximum number of records.
        before: Return only records before this place.
        after: Return only records after this place, oldest first.
        oldest_first: Return the oldest record first, also without ``after``.
        source: The ``source_index`` of a client IP, instead of ``query.ip``.

    """
    oldest_first = oldest_first or after is not None
    statement = (
        _SELECT.where(*_conditions(query, source))
        .order_by(*_order(audit_events.c, oldest_first=oldest_first))
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(tuple_(*_PLACE) < _literal(connection, before))
    if after is not None:
        statement = statement.where(tuple_(*_PLACE) > _literal(connection, after))
    narrowed = any(value is not None for value in (query.event, query.user_id, query.ip, source, query.reason))
    least_severity = _least_severity(query)
    if least_severity is not None and not narrowed:
        # One subquery per severity, because the index orders records by time only within one severity.
        levels = [level for level in Severity if level >= least_severity]
        pages = [select(statement.where(audit_events.c.severity == level).subquery()) for level in levels]
        found = union_all(*pages).subquery()
        statement = select(found).order_by(*_order(found.c, oldest_first=oldest_first)).limit(limit)
    return [_stored(row) for row in connection.execute(statement).mappings()]


def is_place(connection: Connection, place: Place) -> bool:
    """Return whether the database can compare ``place``, which a client has sent, with stored places."""
    time, chain_id, sequence = place
    is_usual = isinstance(time, int) and isinstance(chain_id, UUID) and isinstance(sequence, int)
    return is_usual or connection.dialect.name == "sqlite"


def select_all(connection: Connection) -> Iterator[list[StoredRow]]:
    """Yield all records in batches, ordered by chain and sequence."""
    key = (audit_events.c.chain_id, audit_events.c.sequence)
    statement = select(*_COLUMNS).order_by(*key).limit(_CHAIN_BATCH)
    rows: list[StoredRow] = []
    while True:
        following = statement
        if rows:
            last = _literal(connection, rows[-1].place[1:])
            following = statement.where(tuple_(*_PLACE[1:]) > last)
        rows = [_stored(row) for row in connection.execute(following).mappings()]
        yield rows
        if len(rows) < _CHAIN_BATCH:
            return


def count_events(
    connection: Connection, query: AuditQuery, *, interval: int, names: Collection[str]
) -> Sequence[tuple[int, str, str, int]]:
    """Return ``(interval number, name, outcome, count)`` for each interval with events, in the order of time.

    Args:
        connection: A connection.
        query: Which records are counted.
        interval: In milliseconds. The number of an interval is counted from the epoch.
        names: The known names. An attacker may have inserted any number of others, so these are counted as "unknown".

    """
    columns = audit_events.c
    start = (columns.time // interval).label("start")
    event = case((columns.name.in_(names), columns.name), else_="unknown").label("event")
    result = case((columns.outcome.in_(("success", "failure")), columns.outcome), else_="unknown").label("result")
    statement = (
        select(start, event, result, func.count())
        .where(*_conditions(query))
        .group_by(start, event, result)
        .order_by(start)
    )
    return [(int(number), name, outcome, count) for number, name, outcome, count in connection.execute(statement)]


def count_by(
    connection: Connection, query: AuditQuery, column: str, *, limit: int
) -> list[tuple[UUID | str | bytes | None, int]]:
    """Return the most frequent values of ``user_id``, ``reason`` or ``source``, each with the number of its records.

    A value that the service never writes is None.
    """
    statement = (
        select(type_coerce(audit_events.c[column], _AS_STORED), func.count())
        .where(*_conditions(query))
        .group_by(audit_events.c[column])
        .order_by(func.count().desc())
        .limit(limit)
    )
    return [(_counted(column, value), count) for value, count in connection.execute(statement)]


def _counted(column: str, value: Any) -> UUID | str | bytes | None:
    try:
        return None if value is None else _COUNTED[column](value)
    except ValueError:
        return None


def delete_old_rows(connection: Connection, older_than: int, *, limit: int, horizon: int = _LATEST) -> int:
    """Delete up to ``limit`` records of chains that ended before ``older_than`` (ms). Return how many.

    Only whole chains are deleted, so that the others can still be verified from their first record on. Records after
    ``horizon`` (ms) were not written by the service, and do not keep a chain from being deleted.
    """
    later = audit_events.alias("later")
    goes_on = exists().where(
        later.c.chain_id == audit_events.c.chain_id, later.c.time >= older_than, later.c.time <= horizon
    )
    key = (audit_events.c.chain_id, audit_events.c.sequence)
    # From the ends of chains: an interruption leaves chains without their ends, which the verification accepts for
    # records of this age. By time first, for the index, because the few old records must not cost a scan of the log.
    old = (
        select(*key)
        .where(audit_events.c.time < older_than, ~goes_on)
        .order_by(audit_events.c.time.desc(), audit_events.c.chain_id, audit_events.c.sequence.desc())
        .limit(limit)
    )
    return connection.execute(delete(audit_events).where(tuple_(*key).in_(old))).rowcount


def _order(columns: ColumnCollection[str, Any], *, oldest_first: bool) -> list[ColumnElement[Any]]:
    return [columns[name] if oldest_first else columns[name].desc() for name in _PLACE_COLUMNS]


def _literal(connection: Connection, place: tuple[Any, ...]) -> Any:
    """Return a place, or a part of one, as an SQL literal that can be compared with stored values."""
    is_sqlite = connection.dialect.name == "sqlite"
    return tuple_(*(literal(part.hex if is_sqlite and isinstance(part, UUID) else part, _AS_STORED) for part in place))


def _stored(values: Mapping[Any, Any]) -> StoredRow:
    fields: dict[str, Any] = {}
    unreadable = set()
    for name, (read, substitute) in _READERS.items():
        try:
            fields[name] = read(values[name])
        except ValueError:
            unreadable.add(name)
            fields[name] = substitute(values[name])
    place = (values["time"], values["chain_id"], values["sequence"])
    has_place = not unreadable & {"chain_id", "sequence"}
    if not has_place:
        # Readers identify records by chain and sequence, so a record without a place gets a chain of its own.
        fields |= {"chain_id": UUID(bytes=sha256(repr(place).encode()).digest()[:16]), "sequence": -1}
    try:
        previous_mac = _octets(_MAC_BYTES)(values.get("previous_mac"))
    except ValueError:
        previous_mac = None
    return StoredRow(
        row=AuditRow(**fields),
        is_readable=not unreadable,
        has_place=has_place,
        previous_mac=previous_mac,
        place=place,
    )


def _uuid(value: Any) -> UUID:
    if isinstance(value, UUID):
        return value
    # Only one spelling is accepted, because a chain must not be found under two.
    if isinstance(value, str) and _HEXADECIMAL_UUID.fullmatch(value):
        return UUID(value)
    raise ValueError


def _integer(value: Any) -> int:
    if isinstance(value, int):
        return value
    raise ValueError


def _text(length: int) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if isinstance(value, str) and len(value) <= length:
            return value
        raise ValueError

    return read


def _octets(length: int) -> Callable[[Any], bytes]:
    def read(value: Any) -> bytes:
        if isinstance(value, bytes) and len(value) == length:
            return value
        raise ValueError

    return read


def _source(value: Any) -> bytes:
    # Aurora DSQL stores the hash as text (tables.KeyBytes).
    if isinstance(value, str):
        octets = urlsafe_b64decode(value + "=" * (-len(value) % 4))
        if urlsafe_b64encode(octets).decode().rstrip("=") != value:
            raise ValueError
        value = octets
    return _octets(_SOURCE_BYTES)(value)


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _shown(length: int) -> Callable[[Any], str]:
    def show(value: Any) -> str:
        text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        return text[:length]

    return show


def _as_time(value: Any) -> int:
    """Return an integer with the place that SQLite gives to ``value`` in the order of times."""
    return int(max(-_LATEST, min(value, _LATEST))) if isinstance(value, float) else _LATEST


def _nothing(value: Any) -> Any:  # noqa: ARG001 - same signature as the other substitutes
    return None


#: By column: a function that returns the stored value, or raises ValueError if the service never writes it, and a
#: function that returns the substitute for such a value.
_READERS: Final[dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]]] = {
    "chain_id": (_uuid, _nothing),
    "sequence": (_integer, _nothing),
    "time": (_integer, _as_time),
    "name": (_text(_LENGTHS["name"]), _shown(_LENGTHS["name"])),
    "outcome": (_text(_LENGTHS["outcome"]), _shown(_LENGTHS["outcome"])),
    "severity": (_integer, lambda _: int(Severity.INFORMATIONAL)),
    "user_id": (_or_none(_uuid), _nothing),
    "source": (_or_none(_source), _nothing),
    "reason": (_or_none(_text(_LENGTHS["reason"])), _shown(_LENGTHS["reason"])),
    "record": (_text(MAX_RECORD_CHARACTERS), lambda _: ""),
    "mac": (_octets(_MAC_BYTES), lambda _: b""),
}
#: By column: a function that returns a counted value, or raises ValueError if the service never writes it.
_COUNTED: Final[dict[str, Callable[[Any], UUID | str | bytes]]] = {
    "user_id": _uuid,
    "reason": _shown(_LENGTHS["reason"]),
    "source": _source,
}


def _conditions(query: AuditQuery, source: bytes | None = None) -> list[ColumnElement[bool]]:
    columns = audit_events.c
    conditions: list[ColumnElement[bool]] = []
    if query.from_ is not None:
        conditions.append(columns.time >= milliseconds(query.from_))
    if query.to is not None:
        conditions.append(columns.time < milliseconds(query.to))
    least_severity = _least_severity(query)
    if least_severity is not None:
        conditions.append(columns.severity >= least_severity)
    if query.except_reason is not None:
        # != alone would leave out rows without a reason.
        conditions.append(or_(columns.reason.is_(None), columns.reason != query.except_reason))
    expected = (
        (columns.name, query.event),
        (columns.outcome, query.outcome),
        (columns.user_id, query.user_id),
        (columns.source, source_index(query.ip) if query.ip else source),
        (columns.reason, query.reason),
    )
    return conditions + [column == value for column, value in expected if value is not None]


def _least_severity(query: AuditQuery) -> int | None:
    """Return the lowest severity that matches. Return None if all match, even a severity that was tampered with."""
    return query.severity if (query.severity or 0) > Severity.INFORMATIONAL else None


def milliseconds(time: datetime) -> int:
    """Return the milliseconds since the epoch, as the audit log stores times."""
    return round(time.timestamp() * 1000)
