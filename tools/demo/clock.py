"""A clock that can be moved: the service in this process then writes records of another time."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo

#: Packages whose modules get the moved clock. PyJWT compares a token's times with the clock.
_PACKAGES = ("auth_common.", "jwt.")


class MovableClock:
    """The clock of the service and of its libraries: the system's clock plus an offset."""

    def __init__(self) -> None:
        """Start with the system's time."""
        self.offset = timedelta()

    def set(self, moment: datetime) -> None:
        """Set the clock. From this moment on it runs as fast as the system's clock.

        Args:
            moment: A time with a zone.

        """
        self.offset = moment - datetime.fromtimestamp(_SYSTEM_TIME(), UTC)


_SYSTEM_TIME = time.time


@contextmanager
def movable_clock() -> Iterator[MovableClock]:
    """Replace the clock of the service and its libraries while the block runs. Import their modules before.

    ``time.monotonic``, which measures timeouts and pauses, is unchanged.
    """
    clock = MovableClock()
    now, now_ns = time.time, time.time_ns

    class Moved(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # a datetime, not a Moved
            return datetime.now(tz) + clock.offset

    replaced = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith(_PACKAGES) and getattr(module, "datetime", None) is datetime
    ]
    for module in replaced:
        vars(module)["datetime"] = Moved
    vars(time).update(
        time=lambda: now() + clock.offset.total_seconds(),
        time_ns=lambda: now_ns() + clock.offset // timedelta(microseconds=1) * 1_000,
    )
    try:
        yield clock
    finally:
        for module in replaced:
            vars(module)["datetime"] = datetime
        vars(time).update(time=now, time_ns=now_ns)
