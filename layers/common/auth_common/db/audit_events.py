"""The tables of the audit log."""

import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    text,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.sql.expression import ColumnCollection

from auth_common.db.tables import as_row, audit_events, audit_salts, users
from auth_common.monitoring.vocabulary import Severity
from auth_common.security.audit_protection import SALT_BYTES

#: Records of a chain that are read at once.
_CHAIN_BATCH: Final = 1000

#: ``(time, chain_id, sequence)``: a place in the order of the log.
Place = tuple[int, UUID, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One record. ``record`` is what counts and what the MAC covers; the other columns are there to find it."""

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
    #: ``source_index`` of the address; none where there was no address, or its owner has been erased.
    source: bytes | None
    reason: str | None
    #: JSON, exactly as it went into the MAC.
    record: str
    mac: bytes

    @property
    def place(self) -> Place:
        """Where it stands in the log."""
        return self.time, self.chain_id, self.sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a reader asks for; ``None`` stands for everything."""

    #: Milliseconds since the epoch: from, inclusive, and until, exclusive.
    since: int | None = None
    until: int | None = None
    name: str | None = None
    outcome: str | None = None
    #: At least so severe.
    severity: int | None = None
    user_id: UUID | None = None
    source: bytes | None = None
    reason: str | None = None
    except_reason: str | None = None


_COLUMNS: Final = tuple(audit_events.c[name] for name in AuditRow.__dataclass_fields__)
_PLACE: Final = (audit_events.c.time, audit_events.c.chain_id, audit_events.c.sequence)
_previous: Final = audit_events.alias("previous")
#: Each row with the MAC before it, which its own MAC covers.
_SELECT: Final = select(*_COLUMNS, _previous.c.mac.label("previous_mac")).outerjoin_from(
    audit_events,
    _previous,
    and_(
        _previous.c.chain_id == audit_events.c.chain_id,
        _previous.c.sequence == audit_events.c.sequence - 1,
    ),
)
_NOBODY: Final = UUID(int=0)
_INSERT: Final = audit_events.insert()
_SELECT_SALT: Final = select(audit_salts.c.salt).where(audit_salts.c.user_id == bindparam("user_id"))
#: Whoever is first makes the salt, and only for somebody who has an account: nothing of a person is kept after their
#: erasure. Our databases agree on this statement, which SQLAlchemy has for each of them separately.
_INSERT_SALT: Final = text(
    "INSERT INTO audit_salts (user_id, salt) SELECT id, :salt FROM users WHERE id = :user_id ON CONFLICT DO NOTHING"
).bindparams(bindparam("user_id", type_=audit_salts.c.user_id.type), bindparam("salt", type_=audit_salts.c.salt.type))


def insert_rows(connection: Connection, rows: Iterable[AuditRow]) -> None:
    """Store records."""
    connection.execute(_INSERT, [as_row(row) for row in rows])


def make_salt(connection: Connection, *, user_id: UUID | None) -> bytes | None:
    """Return the salt of a user, made now if there is none; ``None``: there is no such user (any more).

    Nobody's is asked for all the same: a failed login must take as many round trips where the address is unknown.
    """
    salt: bytes | None = connection.execute(_SELECT_SALT, {"user_id": user_id or _NOBODY}).scalar_one_or_none()
    if salt is None and user_id:
        connection.execute(_INSERT_SALT, {"user_id": user_id, "salt": secrets.token_bytes(SALT_BYTES)})
        salt = connection.execute(_SELECT_SALT, {"user_id": user_id}).scalar_one_or_none()
    return salt


def select_salts(connection: Connection, *, user_ids: Collection[UUID]) -> dict[UUID, bytes]:
    """Return the salts of those users who have one."""
    if not user_ids:
        return {}
    rows = connection.execute(select(audit_salts).where(audit_salts.c.user_id.in_(user_ids)))
    return {row.user_id: row.salt for row in rows}


def delete_salt(connection: Connection, *, user_id: UUID) -> None:
    """Make the personal fields of a user's records unreadable for ever. The chains stay as they are."""
    connection.execute(delete(audit_salts).where(audit_salts.c.user_id == user_id))


def forget_the_gone(connection: Connection, since: int) -> int:
    """Delete what records written ``since`` (ms), in the very moment of an erasure, have kept; return how much."""
    is_gone = ~exists().where(users.c.id == audit_salts.c.user_id)
    forgotten = connection.execute(delete(audit_salts).where(is_gone)).rowcount
    was_erased = ~exists().where(users.c.id == audit_events.c.user_id)
    of_somebody = (audit_events.c.user_id.is_not(None), audit_events.c.source.is_not(None))
    statement = update(audit_events).where(audit_events.c.time >= since, *of_somebody, was_erased).values(source=None)
    return forgotten + connection.execute(statement).rowcount


def forget_sources(connection: Connection, *, user_id: UUID, limit: int) -> int:
    """Let up to ``limit`` records of a user be found by their address no more; return how many."""
    key = (audit_events.c.chain_id, audit_events.c.sequence)
    known = select(*key).where(audit_events.c.user_id == user_id, audit_events.c.source.is_not(None)).limit(limit)
    return connection.execute(update(audit_events).where(tuple_(*key).in_(known)).values(source=None)).rowcount


def select_page(
    connection: Connection,
    filters: Filters,
    *,
    limit: int,
    before: Place | None = None,
    after: Place | None = None,
) -> list[tuple[AuditRow, bytes | None]]:
    """Return records that match, each with the MAC of the record before it in its chain.

    Args:
        connection: to read with.
        filters: which.
        limit: rows, at most.
        before: newest first, from this place on backwards (or from the newest).
        after: instead of ``before``: oldest first, from this place on.

    """
    oldest_first = after is not None
    statement = (
        _SELECT.where(*_conditions(filters)).order_by(*_order(audit_events.c, oldest_first=oldest_first)).limit(limit)
    )
    if before is not None:
        statement = statement.where(tuple_(*_PLACE) < tuple_(*before))
    if after is not None:
        statement = statement.where(tuple_(*_PLACE) > tuple_(*after))
    narrowed = any(value is not None for value in (filters.name, filters.user_id, filters.source, filters.reason))
    if filters.severity is not None and not narrowed:
        # Level by level: from one level on, an index has the records in the order of their levels, and not of time.
        levels = [level for level in Severity if level >= filters.severity]
        pages = [select(statement.where(audit_events.c.severity == level).subquery()) for level in levels]
        found = union_all(*pages).subquery()
        statement = select(found).order_by(*_order(found.c, oldest_first=oldest_first)).limit(limit)
    return [_row(dict(row)) for row in connection.execute(statement).mappings()]


def select_chain_ids(connection: Connection) -> list[UUID]:
    """Return all chains, the oldest first."""
    statement = (
        select(audit_events.c.chain_id).group_by(audit_events.c.chain_id).order_by(func.min(audit_events.c.time))
    )
    return list(connection.execute(statement).scalars())


def select_chain(connection: Connection, *, chain_id: UUID) -> Iterator[AuditRow]:
    """Yield the records of a chain in their order."""
    after = -(2**31)
    while True:
        statement = (
            select(*_COLUMNS)
            .where(audit_events.c.chain_id == chain_id, audit_events.c.sequence > after)
            .order_by(audit_events.c.sequence)
            .limit(_CHAIN_BATCH)
        )
        rows = [AuditRow(**values) for values in connection.execute(statement).mappings()]
        yield from rows
        if len(rows) < _CHAIN_BATCH:
            return
        after = rows[-1].sequence


def count_by(
    connection: Connection,
    filters: Filters,
    *columns: ColumnElement[Any],
    limit: int | None = None,
    most_first: bool = True,
) -> Sequence[Mapping[str, Any]]:
    """Return how many matching records there are for each combination of values of ``columns``."""
    count = func.count().label("count")
    statement: Select[Any] = select(*columns, count).where(*_conditions(filters)).group_by(*columns)
    statement = statement.order_by(count.desc() if most_first else columns[0]).limit(limit)
    return [dict(values) for values in connection.execute(statement).mappings()]


def delete_old_rows(connection: Connection, older_than: int, *, limit: int) -> int:
    """Delete up to ``limit`` records of chains that ended before ``older_than`` (ms); return how many.

    Only whole chains go, so that what stays can still be verified from its first record on.
    """
    later = audit_events.alias("later")
    goes_on = exists().where(later.c.chain_id == audit_events.c.chain_id, later.c.time >= older_than)
    key = (audit_events.c.chain_id, audit_events.c.sequence)
    # From their ends: what an interruption leaves are chains that were cut, and their time says that they may be. By
    # time first, which has the index: a log of millions of records is not read through for the few that are old.
    old = (
        select(*key)
        .where(audit_events.c.time < older_than, ~goes_on)
        .order_by(audit_events.c.time.desc(), audit_events.c.chain_id, audit_events.c.sequence.desc())
        .limit(limit)
    )
    return connection.execute(delete(audit_events).where(tuple_(*key).in_(old))).rowcount


def _order(columns: ColumnCollection[str, Any], *, oldest_first: bool) -> list[ColumnElement[Any]]:
    return [columns[place.name] if oldest_first else columns[place.name].desc() for place in _PLACE]


def _row(fields: dict[str, Any]) -> tuple[AuditRow, bytes | None]:
    previous_mac = fields.pop("previous_mac")
    return AuditRow(**fields), previous_mac


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    columns = audit_events.c
    conditions: list[ColumnElement[bool]] = []
    if filters.since is not None:
        conditions.append(columns.time >= filters.since)
    if filters.until is not None:
        conditions.append(columns.time < filters.until)
    if filters.severity is not None:
        conditions.append(columns.severity >= filters.severity)
    if filters.except_reason is not None:
        # Rows without a reason stay, which != alone would not let pass.
        conditions.append(or_(columns.reason.is_(None), columns.reason != filters.except_reason))
    for name in ("name", "outcome", "user_id", "source", "reason"):
        value = getattr(filters, name)
        if value is not None:
            conditions.append(columns[name] == value)
    return conditions
