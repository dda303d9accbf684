"""Two things measured side by side, in one run: A B, B A, A B, … so that whatever else the machine does meets both.

Garbage is collected before each round and not during it by us: the collector stays on, as it is in Lambda.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
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
        unit: ``ms``, ``µs``, or ``/s`` for how many there are in a second.

    """
    taken = take_turns({"subject": subject, "floor": floor}, rounds=rounds)
    return compare(name, taken["subject"], against, taken["floor"], aim=aim, unit=unit)


def take_turns(takers: Mapping[str, Round], *, rounds: int) -> dict[str, list[float]]:
    """Run a round of each by turns, once for warming up and then ``rounds`` times, and return what they gave."""
    taken: dict[str, list[float]] = {name: [] for name in takers}
    for number in range(-1, rounds):
        # Who goes first changes: nobody always finds the caches as the same one has left them.
        for name in list(takers)[:: 1 if number % 2 else -1]:
            gc.collect()
            seconds = takers[name]()
            if number >= 0:
                taken[name].append(seconds)
    return taken


def compare(
    name: str, subjects: list[float], against: str, floors: list[float], *, aim: float | None = None, unit: str = "ms"
) -> Figure:
    """Return the figure of rounds that were run by turns, in seconds.

    The ratio is one of times, whatever the unit: below 1 the subject is the faster one.
    """
    show: Callable[[float], float] = {
        "ms": lambda seconds: seconds * 1e3,
        "µs": lambda seconds: seconds * 1e6,
        "/s": lambda seconds: 1 / seconds,
    }[unit]
    return Figure(
        name=name,
        unit=unit,
        subject=Spread.of([show(seconds) for seconds in subjects]),
        against=against,
        floor=Spread.of([show(seconds) for seconds in floors]),
        ratio=Spread.of([ours / theirs for ours, theirs in zip(subjects, floors, strict=True)]),
        aim=aim,
        rounds=len(subjects),
    )
