"""Set the service's clock wrong, and skip its pauses."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from tools.demo.clock import movable_clock


@contextmanager
def clock_off_by(seconds: float) -> Iterator[None]:
    """Set the clock of the service and its libraries ``seconds`` ahead (negative: behind) while the block runs.

    ``time.monotonic``, which measures timeouts and pauses, is unchanged.
    """
    with movable_clock() as clock:
        clock.offset = timedelta(seconds=seconds)
        yield


def skip_pauses(patches: pytest.MonkeyPatch) -> None:
    """Make pauses between retries take no time."""
    patches.setattr(time, "sleep", lambda _seconds: None)
