"""Environments whose clock is wrong, time that goes by, and pauses that take none."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo

import pytest


@contextmanager
def clock_off_by(seconds: float) -> Iterator[None]:
    """Let the service, and the libraries that look at the time for it, read a clock that is so far ahead.

    The clock of timeouts and pauses (``time.monotonic``) runs on: no test waits longer for it.
    """
    offset = timedelta(seconds=seconds)
    now, now_ns = time.time, time.time_ns

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # no Shifted spreads
            return datetime.now(tz) + offset

    with pytest.MonkeyPatch.context() as patches:
        for name, module in list(sys.modules.items()):
            if name.startswith(("auth_common.", "jwt.")) and getattr(module, "datetime", None) is datetime:
                patches.setattr(module, "datetime", Shifted)
        patches.setattr(time, "time", lambda: now() + seconds)
        patches.setattr(time, "time_ns", lambda: now_ns() + int(seconds * 1e9))
        yield


def skip_pauses(patches: pytest.MonkeyPatch) -> None:
    """Let pauses between tries take no time: in a test there are no others to wait for."""
    patches.setattr(time, "sleep", lambda _seconds: None)
