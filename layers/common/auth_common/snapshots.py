"""Lambda SnapStart: one environment is frozen after its initialisation, and many are thawed from the copy.

What each of them must have for itself is let go before the copy is made: ``before_snapshot`` marks the function that
does. Randomness needs none of this, since all of ours comes from the operating system when it is needed.
"""

from collections.abc import Callable
from contextlib import suppress


def before_snapshot(function: Callable[[], None]) -> Callable[[], None]:
    """Have Lambda call ``function`` before it takes a snapshot; elsewhere nobody does. A decorator."""
    with suppress(ModuleNotFoundError):  # Lambda's runtime brings it
        from snapshot_restore_py import register_before_snapshot

        register_before_snapshot(function)
    return function
