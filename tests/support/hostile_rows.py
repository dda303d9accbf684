"""Malformed rows that an attacker with INSERT on the audit log could insert, column by column."""

import json
import time
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from auth_common.events.vocabulary import SecurityEvent
from tests.support.databases import Database


def _nested(depth: int) -> str:
    return '{"detail":' + '{"a":' * depth + "1" + "}" * (depth + 1)


_USER = UUID(int=7)

#: Changes to a valid row that every database stores.
MALFORMED_ROWS: list[dict[str, Any]] = [
    *({"record": record} for record in ("", "not JSON", "[]", "1", "null", '"x"', "{}", "{" * 100_000, "[" * 10_000)),
    *({"record": _nested(depth)} for depth in (2, 300, 5_000)),
    *(
        {"record": f'{{"detail":{{"a":{number}}}}}'}
        for number in ("NaN", "-Infinity", "1e999", "9" * 4_000, "9" * 5_000)
    ),
    {"record": json.dumps({"detail": {"a": "x" * 3_000_000}})},
    {"record": json.dumps({"detail": ["a"], "path": 1, "method": None, "function": {}, "request_id": []})},
    {"record": '{"detail":{"\\ud800":"\\udfff"},"path":"\\ud800"}'},
    {"record": '{"detail":{"a":1,"a":2}}'},
    {"record": '{"detail":{"\\u001b[2J":"\\u202e\\u0000"},"personal":[]}'},
    {"record": '{"sealed":"no base64"}', "user_id": _USER},
    {"record": '{"sealed":"AAAA"}', "user_id": _USER},
    {"record": json.dumps({"sealed": "A" * 1_000}), "user_id": _USER, "source": bytes(16)},
    *({"time": moment} for moment in (-(2**63), -62_135_596_800_001, -1, 0, 253_402_300_800_000, 2**63 - 1)),
    *({"sequence": sequence} for sequence in (-(2**31), -1, 0, 2**31 - 1)),
    *({"name": name} for name in ("", "invented", "x" * 40, "\x1b[2J")),
    *({"outcome": outcome} for outcome in ("", "maybe")),
    *({"severity": severity} for severity in (-(2**31), 0, 6, 2**31 - 1)),
    *({"user_id": user_id} for user_id in (UUID(int=0), UUID(int=2**128 - 1))),
    *({"source": source} for source in (b"", b"x", bytes(16), bytes(2_000))),
    *({"reason": reason} for reason in (None, "", "x" * 60, "</script>")),
    *({"mac": mac} for mac in (b"", b"x", bytes(1_000_000))),
]
#: Values of the wrong type, which SQLite stores because it does not check types.
_WRONG_TYPES: list[Any] = [
    *("", "soon", "so on!", "x" * 100_000),
    *(b"", b"\xff" * 16, b"\xff" * 1_000),
    *(1.5, 9e999, -9e999, -(2**63), 2**63 - 1),
]
MALFORMED_SQLITE_ROWS: list[dict[str, Any]] = [
    {column: value}
    for column in (
        "chain_id", "sequence", "time", "name", "outcome", "severity", "user_id", "source", "reason", "record", "mac"
    )
    for value in _WRONG_TYPES
] + [{"chain_id": UUID(int=0xABC).hex.upper()}, {"user_id": f"{{{_USER}}}"}]  # fmt: skip
#: Text columns, in which SQLite stores bytes that are not UTF-8.
_TEXTS = ("chain_id", "time", "name", "outcome", "user_id", "reason", "record")


def insert_row(database: Database, **changes: Any) -> None:
    """Insert a row with ``changes`` into the audit log, without a valid MAC."""
    insert_rows(database, [changes])


def insert_rows(database: Database, rows: list[dict[str, Any]]) -> None:
    """Insert one row into the audit log for each element of ``rows``, which has the changes to a valid row."""
    with create_engine(database.url, poolclass=NullPool).begin() as connection:
        for changes in rows:
            row = {name: _as_bound(database, value) for name, value in {**_row(), **changes}.items()}
            values = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO audit_events ({', '.join(row)}) VALUES ({values})"), row)


def _row() -> dict[str, Any]:
    return {
        "chain_id": uuid4(),
        "sequence": 0,
        "time": time.time_ns() // 1_000_000,
        "name": SecurityEvent.AUTHN_LOGIN_FAIL.value,
        "outcome": "failure",
        "severity": 2,
        "user_id": None,
        "source": None,
        "reason": "unknown_user",
        "record": "{}",
        "mac": bytes(32),
    }


def _as_bound(database: Database, value: Any) -> Any:
    if isinstance(value, UUID) and database.kind == "sqlite":
        return value.hex
    return value


def insert_hostile_rows(database: Database) -> int:
    """Insert all malformed rows that the database stores, and return their number."""
    rows = [*MALFORMED_ROWS, *(MALFORMED_SQLITE_ROWS if database.kind == "sqlite" else [])]
    insert_rows(database, rows)
    if database.kind != "sqlite":
        return len(rows)
    for column in _TEXTS:
        reason = f"not UTF-8: {column}"
        insert_row(database, reason=reason)
        broken = text(f"UPDATE audit_events SET {column} = CAST(x'ff80' AS TEXT) WHERE reason = :reason")
        database.execute(broken.bindparams(reason=reason))
    return len(rows) + len(_TEXTS)
