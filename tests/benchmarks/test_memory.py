"""The section ``memory``. No test asserts an amount."""

import pytest

from benchmarks.cold_start import first_response
from benchmarks.first_requests import FirstRequests
from benchmarks.memory import measure_memory
from benchmarks.service import PROJECT, environment_of, fresh_service

pytestmark = pytest.mark.benchmark


def test_each_function_has_a_row(postgres, monkeypatch):
    monkeypatch.setattr("benchmarks.memory.REQUIRED_LIBRARIES", {"login": ()})
    table = measure_memory(rounds=1, requests=2)
    assert table.heading == ("Function", "Its libraries", "First response", "2 more", "PostgreSQL: first", "2 more")
    assert [row[0] for row in table.rows] == ["`login`"]
    assert all(int(megabytes) > 0 for row in table.rows for megabytes in row[1:])


def test_statuses_of_later_responses_are_reported():
    with fresh_service(BCRYPT_COST="4") as data_dir:
        requests = FirstRequests()
        event = requests.request("register")
        folder, environment = PROJECT / "functions" / "register", environment_of("register", data_dir)
        run = first_response(folder, event, environment, then=[requests.request("register"), event])
    assert run.response["statusCode"] == 201
    assert run.statuses == {201, 409}
    assert 0 < run.peaks[0] <= run.peaks[1]
