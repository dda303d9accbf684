"""Parts of the service that are away: the database for some statements, the signing key."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.support.databases import listening, start_fresh_environment

#: What SQLAlchemy raises when a database is away.
UNAVAILABLE = OperationalError("", {}, Exception("the database is away"))


@contextmanager
def watched(listener: Callable[[str, Any], object]) -> Iterator[None]:
    """Call ``listener`` with the text and the parameters of each statement, before the database gets the statement."""

    def listen(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        listener(" ".join(statement.split()), parameters)

    with listening("before_cursor_execute", listen):
        yield


@contextmanager
def failing(*beginnings: str, error: Exception = UNAVAILABLE) -> Iterator[None]:
    """Raise ``error`` instead of executing a statement that begins with one of ``beginnings``."""

    def fail(statement: str, _parameters: object) -> None:
        if statement.startswith(beginnings):
            raise error

    with watched(fail):
        yield


@contextmanager
def signing_key_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let new environments use a signing key in KMS, while KMS is away."""
    with monkeypatch.context() as outage:
        outage.setenv("SIGNING_KEY_ARN", "arn:aws:kms:eu-central-1:123456789012:key/away")
        outage.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:9")
        outage.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        outage.setenv("AWS_ACCESS_KEY_ID", "testing")
        outage.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        start_fresh_environment()
        yield
    start_fresh_environment()
