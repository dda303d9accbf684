"""Lambda SnapStart, which takes a snapshot of an initialised environment and starts many environments from it.

State that each environment must have for itself, such as connections, is discarded before the snapshot. The decorator
``before_snapshot`` marks the functions that do so. Random numbers always come from the operating system, so they need
no such function.
"""

from collections.abc import Callable
from contextlib import suppress


def before_snapshot(function: Callable[[], None]) -> Callable[[], None]:
    """Make Lambda call ``function`` before it takes a snapshot. A decorator. It has no effect outside Lambda."""
    with suppress(ModuleNotFoundError):  # the module is a part of Lambda's runtime
        from snapshot_restore_py import register_before_snapshot

        register_before_snapshot(function)
    return function
