"""Measure two things in alternating rounds (A B, B A, A B, …), so that other load on the machine affects both.

Garbage is collected before each round. The garbage collector also stays enabled during a round, as in Lambda.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

#: Runs one round and returns the seconds for one call.
Round = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The quartiles of the results of several rounds."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Self:
        """Return the quartiles of ``values``. A single value is all three of them."""
        if len(values) == 1:
            return cls(low=values[0], median=values[0], high=values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(low=low, median=median, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The comparison of a subject with a floor, which is the minimal work or a peer."""

    name: str
    #: The unit of ``subject`` and ``floor``.
    unit: str
    subject: Spread
    #: The name of the thing that ``floor`` measures.
    against: str
    floor: Spread
    #: The quartiles of each round's ratio. They vary less than the times, because a busy moment affects both.
    ratio: Spread
    #: The maximum for the ratio, or None if there is no aim.
    aim: float | None
    rounds: int

    @property
    def is_met(self) -> bool | None:
        """Whether the median ratio is within its aim, or None without an aim."""
        return None if self.aim is None else self.ratio.median <= self.aim


def timed(call: Callable[[], object], *, calls: int = 1) -> Round:
    """Return a round that calls ``call`` as often as ``calls`` says."""

    def run() -> float:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - start) / calls

    return run


def alternate(
    name: str, subject: Round, against: str, floor: Round, *, rounds: int, aim: float | None = None, unit: str = "ms"
) -> Figure:
    """Run both in turns, once to warm up and then ``rounds`` times. Return the comparison.

    Args:
        name: the name of the subject.
        subject: a round of the subject.
        against: the name of the floor.
        floor: a round of the floor.
        rounds: the number of measured rounds.
        aim: the maximum for the ratio.
        unit: ``ms``, ``µs``, or ``/s`` for calls in a second.

    """
    times = run_in_turns({"subject": subject, "floor": floor}, rounds=rounds)
    return compare(name, times["subject"], against, times["floor"], aim=aim, unit=unit)


def run_in_turns(subjects: Mapping[str, Round], *, rounds: int) -> dict[str, list[float]]:
    """Run the subjects in turns, once to warm up and then ``rounds`` times. Return the seconds of each by its name."""
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(-1, rounds):
        # The order alternates, so that no subject always finds the caches in the state that the same other one left.
        for name in list(subjects)[:: 1 if number % 2 else -1]:
            gc.collect()
            seconds = subjects[name]()
            if number >= 0:
                times[name].append(seconds)
    return times


def compare(
    name: str, subjects: list[float], against: str, floors: list[float], *, aim: float | None = None, unit: str = "ms"
) -> Figure:
    """Return the comparison of two lists with the seconds of each round.

    The ratio is that of the times in every unit. Below 1 the subject is faster.
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
