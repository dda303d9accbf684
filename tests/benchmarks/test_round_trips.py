"""The section ``round-trips``, with three of its calls. No test asserts a time."""

from contextlib import nullcontext

import pytest

from benchmarks.round_trips import measure_round_trips
from tests.layers.database.test_round_trips import BOUNDS
from tests.support.measured_calls import MEASURED_CALLS

pytestmark = pytest.mark.benchmark

CALLS = ("GET /users/{id}", "POST /token/refresh", "POST /users, taken address, neutral")


def test_each_call_has_its_counts_and_a_time(postgres, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.round_trips.MEASURED_CALLS", {name: MEASURED_CALLS[name] for name in CALLS})
    monkeypatch.setattr("benchmarks.round_trips.running_postgres", lambda: nullcontext(postgres))
    table = measure_round_trips(rounds=1, flights=True)
    assert [(row[0], (int(row[1]), int(row[3]))) for row in table.rows] == [(name, BOUNDS[name]) for name in CALLS]
    assert all(float(row[4]) > 0 < float(row[6]) for row in table.rows)
    assert [int(row[5]) > int(row[3]) for row in table.rows] == [False, True, True]
    shown = capsys.readouterr().out
    assert [f"{name}\n  1. " in shown for name in CALLS] == [True] * len(CALLS)
