"""Set the service's clock wrong, and skip its pauses."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo

import pytest


@contextmanager
def clock_off_by(seconds: float) -> Iterator[None]:
    """Set the clock of the service and its libraries ``seconds`` ahead (negative: behind) while the block runs.

    ``time.monotonic``, which measures timeouts and pauses, is unchanged.
    """
    offset = timedelta(seconds=seconds)
    now, now_ns = time.time, time.time_ns

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # a datetime, not a Shifted
            return datetime.now(tz) + offset

    with pytest.MonkeyPatch.context() as patches:
        for name, module in list(sys.modules.items()):
            if name.startswith(("auth_common.", "jwt.")) and getattr(module, "datetime", None) is datetime:
                patches.setattr(module, "datetime", Shifted)
        patches.setattr(time, "time", lambda: now() + seconds)
        patches.setattr(time, "time_ns", lambda: now_ns() + int(seconds * 1e9))
        yield


def skip_pauses(patches: pytest.MonkeyPatch) -> None:
    """Make pauses between retries take no time."""
    patches.setattr(time, "sleep", lambda _seconds: None)
