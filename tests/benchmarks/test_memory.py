"""The section ``memory``. No test looks at how much it is."""

import pytest

from benchmarks.cold_start import first_answer
from benchmarks.first_requests import FirstRequests
from benchmarks.memory import measure_memory
from benchmarks.service import PROJECT, environment_of, fresh_service

pytestmark = pytest.mark.benchmark


def test_each_function_has_a_row(postgres, monkeypatch):
    monkeypatch.setattr("benchmarks.memory.INDISPENSABLE", {"login": ()})
    table = measure_memory(rounds=1, requests=2)
    assert table.heading == ("Function", "Its libraries", "First answer", "2 more", "PostgreSQL: first", "2 more")
    assert [row[0] for row in table.rows] == ["`login`"]
    assert all(int(megabytes) > 0 for row in table.rows for megabytes in row[1:])


def test_what_a_process_has_answered_after_its_first_answer_is_known():
    with fresh_service(BCRYPT_COST="4") as data_dir:
        requests = FirstRequests()
        event = requests.request("register")
        folder, environment = PROJECT / "functions" / "register", environment_of("register", data_dir)
        run = first_answer(folder, event, environment, then=[requests.request("register"), event])
    assert run.answer["statusCode"] == 201
    assert run.statuses == {201, 409}
    assert 0 < run.peaks[0] <= run.peaks[1]
