"""Two things measured side by side, in one run: A B, B A, A B, … so that whatever else the machine does meets both.

Garbage is collected before each round and not during it by us: the collector stays on, as it is in Lambda.
"""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

#: Runs one round and returns its seconds a call.
Round = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The quartiles of what several rounds gave."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Self:
        """Return the quartiles of ``values``; one value is all three."""
        if len(values) == 1:
            return cls(low=values[0], median=values[0], high=values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(low=low, median=median, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured thing beside another."""

    name: str
    #: Of ``subject`` and ``floor``.
    unit: str
    subject: Spread
    #: What ``floor`` is a measurement of.
    against: str
    floor: Spread
    #: Of the two in each round: its spread is smaller than theirs, since a busy moment meets both.
    ratio: Spread
    #: What the ratio should be at most; ``None`` where nobody has set an aim.
    aim: float | None
    rounds: int

    @property
    def is_met(self) -> bool | None:
        """Whether the median ratio is within its aim; ``None`` without an aim."""
        return None if self.aim is None else self.ratio.median <= self.aim


def timed(call: Callable[[], object], *, calls: int = 1) -> Round:
    """Return a round of that many calls."""

    def run() -> float:
        begun = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - begun) / calls

    return run


def alternate(
    name: str, subject: Round, against: str, floor: Round, *, rounds: int, aim: float | None = None, unit: str = "ms"
) -> Figure:
    """Run both by turns, once for warming up and then ``rounds`` times, and return what they gave.

    Args:
        name: what ``subject`` is.
        subject: what is measured.
        against: what ``floor`` is.
        floor: what it is compared with.
        rounds: how many count.
        aim: what the ratio should be at most.
        unit: ``s``, ``ms`` or ``µs``.

    """
    subjects: list[float] = []
    floors: list[float] = []
    for number in range(-1, rounds):
        # Who goes first changes: neither always finds the caches as the other has left them.
        for is_subject in (True, False) if number % 2 else (False, True):
            gc.collect()
            seconds = subject() if is_subject else floor()
            if number >= 0:
                (subjects if is_subject else floors).append(seconds)
    return compare(name, subjects, against, floors, aim=aim, unit=unit)


def compare(
    name: str, subjects: list[float], against: str, floors: list[float], *, aim: float | None = None, unit: str = "ms"
) -> Figure:
    """Return the figure of rounds that were run by turns elsewhere; all of them in seconds."""
    scale = {"s": 1.0, "ms": 1e3, "µs": 1e6}[unit]
    return Figure(
        name=name,
        unit=unit,
        subject=Spread.of([seconds * scale for seconds in subjects]),
        against=against,
        floor=Spread.of([seconds * scale for seconds in floors]),
        ratio=Spread.of([ours / theirs for ours, theirs in zip(subjects, floors, strict=True)]),
        aim=aim,
        rounds=len(subjects),
    )
