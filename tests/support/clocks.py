"""Environments whose clock is wrong, time that goes by, and pauses that take none."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, tzinfo
from unittest import mock

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

    with ExitStack() as patches:
        for name, module in list(sys.modules.items()):
            if name.startswith(("auth_common.", "jwt.")) and getattr(module, "datetime", None) is datetime:
                patches.enter_context(mock.patch.object(module, "datetime", Shifted))
        patches.enter_context(mock.patch("time.time", side_effect=lambda: now() + seconds))
        patches.enter_context(mock.patch("time.time_ns", side_effect=lambda: now_ns() + int(seconds * 1e9)))
        yield


def skip_pauses(patches: pytest.MonkeyPatch) -> None:
    """Let pauses between tries take no time: in a test there are no others to wait for."""
    patches.setattr(time, "sleep", lambda _seconds: None)
