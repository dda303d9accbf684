"""Outages: statements that the database rejects, and a signing key that is unreachable."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.support.databases import sqlalchemy_listener, start_fresh_environment

#: The error that SQLAlchemy raises if a database is unreachable.
UNAVAILABLE = OperationalError("", {}, Exception("the database is away"))


@contextmanager
def on_each_statement(listener: Callable[[str, Any], object]) -> Iterator[None]:
    """Call ``listener`` with the text and the parameters of each SQL statement before the statement is sent."""

    def listen(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        listener(" ".join(statement.split()), parameters)

    with sqlalchemy_listener("before_cursor_execute", listen):
        yield


@contextmanager
def failing_statements(*beginnings: str, error: Exception = UNAVAILABLE) -> Iterator[None]:
    """Raise ``error`` instead of executing SQL statements that begin with one of ``beginnings``."""

    def fail(statement: str, _parameters: object) -> None:
        if statement.startswith(beginnings):
            raise error

    with on_each_statement(fail):
        yield


@contextmanager
def signing_key_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the service sign with a key in KMS while KMS is unreachable."""
    with monkeypatch.context() as outage:
        outage.setenv("SIGNING_KEY_ARN", "arn:aws:kms:eu-central-1:123456789012:key/away")
        outage.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
        outage.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        outage.setenv("AWS_ACCESS_KEY_ID", "testing")
        outage.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        start_fresh_environment()
        yield
    start_fresh_environment()
