"""One deadline for several database statements, in addition to the timeout of each statement."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from auth_common.errors import DatabaseUnavailable

_deadline: Final[ContextVar[float]] = ContextVar("database_deadline", default=math.inf)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Give all database statements in the block one deadline, ``seconds`` from now.

    A statement that runs at the deadline is cancelled, and later statements are not sent. Both raise
    ``DatabaseUnavailable``.
    """
    entered = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(entered)


def remaining_seconds() -> float:
    """Return the seconds until the deadline, or infinity if there is none."""
    return _deadline.get() - time.monotonic()


def is_time_up() -> bool:
    """Return whether the deadline has passed."""
    return remaining_seconds() <= 0


def require_time(*_: object) -> None:
    """Raise DatabaseUnavailable if the deadline has passed. SQLAlchemy calls this before each statement."""
    if is_time_up():
        raise DatabaseUnavailable
