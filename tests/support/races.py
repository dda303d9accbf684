"""Requests at one moment, under each way in which a database lets transactions meet."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.support.functions import Answer

_POSTGRESQL = [("postgresql", "read committed"), ("postgresql", "repeatable read"), ("postgresql", "serializable")]
#: What a transaction may meet: SQLite's one writer, PostgreSQL's waits, and SQLSTATE 40001 as on Aurora DSQL. For tests
#: that use the fixtures ``database`` and ``isolation``.
everywhere = pytest.mark.parametrize(
    ("database", "isolation"), [("sqlite", None), *_POSTGRESQL], indirect=True, ids=lambda name: name or "one writer"
)
on_postgresql = pytest.mark.parametrize(("database", "isolation"), _POSTGRESQL, indirect=True, ids=str)


def together(*requests: Callable[[], Answer]) -> list[Answer]:
    """Return the answers to ``requests``, each from a thread and a connection of its own, sent at one moment."""
    start = Barrier(len(requests))

    def wait_and_send(request: Callable[[], Answer]) -> Answer:
        start.wait()
        return request()

    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(wait_and_send, requests))
