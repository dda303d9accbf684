"""Cause faults, and check what clients notice and what is stored afterwards."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from sqlalchemy import select

from auth_common.audit.verification import verify_audit_log
from auth_common.database.tables import audit_events, refresh_tokens, sessions, users
from auth_common.transactions import read
from tests.support.databases import Database, backend_of
from tests.support.functions import Response

on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def service_backend() -> int:
    """Return the process id of the PostgreSQL backend that serves the service's connection."""
    return read(backend_of)


def is_unavailable(response: Response) -> bool:
    """Return whether a response is 503 ``service_unavailable`` with ``Retry-After: 5``."""
    status = response.status, response.headers.get("retry-after")
    return status == (503, "5") and response.code == "service_unavailable"


def stored_rows(database: Database) -> list[int]:
    """Return the numbers of users, sessions, refresh tokens and audit records in the database."""
    return [database.count(table) for table in (users, sessions, refresh_tokens, audit_events)]


@contextmanager
def paused(*pids: int) -> Iterator[None]:
    """Pause processes while the block runs. Their sockets stay open, and they do not respond."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def assert_no_partial_changes(database: Database) -> None:
    """Check that each change is stored completely or not at all, by comparing the tables and the audit log."""
    stored = database.execute(select(audit_events.c.name, audit_events.c.user_id, audit_events.c.record))
    deleted = {event.user_id for event in stored if event.name == "user_deleted"}
    events = [event for event in stored if event.user_id not in deleted]
    created = [event.user_id for event in events if event.name == "user_created"]
    people = [user_id for (user_id,) in database.execute(select(users.c.id))]
    assert sorted(created) == sorted(people)

    opened = [_session_of(event.record) for event in events if event.name == "authn_login_success"]
    generations = {row.id: row.generation for row in database.execute(select(sessions))}
    assert sorted(opened) == sorted(generations)

    issued = [_session_of(event.record) for event in events if event.name == "authn_token_created"]
    tokens = database.execute(select(refresh_tokens).order_by(refresh_tokens.c.generation))
    for session, newest in generations.items():
        family = [(token.generation, token.spent_at is None) for token in tokens if token.session_id == session]
        # The generations have no gaps, and only the newest one is not spent.
        assert family == [(number, number == newest) for number in range(newest + 1)]
        # A parent token that is sent again within the grace period adds an audit record, but no new token.
        assert issued.count(session) >= len(family)

    assert verify_audit_log().findings == []


def _session_of(record: str) -> UUID:
    return UUID(json.loads(record)["detail"]["session_id"])
