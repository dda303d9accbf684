"""``make bench`` measures the right calls. No test asserts a time."""

import json
import os
import runpy
import sys

import pytest

from auth_common.settings import Settings
from benchmarks.measure import Figure, Spread, compare, run_in_turns
from benchmarks.peers import LOGIN_WITHOUT_HASH, ME_BY_HTTP
from benchmarks.report import Table, as_json, as_markdown
from benchmarks.service import environment_of, fresh_service
from benchmarks.summary import summarise
from tests.support.runtime import PROJECT, run_command

pytestmark = pytest.mark.benchmark

#: SQLite's number of ``synchronous = FULL``.
FULL = 2
#: The developer's shell without settings of the service.
SHELL = {name: value for name, value in os.environ.items() if name.lower() not in Settings.__dataclass_fields__}


def figure(**changes):
    return compare("ours", [0.002, 0.004], "theirs", [0.001, 0.001], **changes)


def test_each_endpoint_is_measured_beside_its_floor(tmp_path):
    file = tmp_path / "figures.json"
    command = (sys.executable, "-m", "benchmarks", "floors", "--rounds", "1", "--json", str(file))
    finished = run_command(*command, env=SHELL)
    assert finished.returncode == 0, finished.stderr
    document = json.loads(file.read_text())
    assert document["machine"].keys() == {"python", "system", "processors", "load", "date"}
    figures = document["sections"]["floors"]
    calls = ("`POST /login`", "the authorizer, warm", "`GET /users/{id}`, warm")
    others = ("`POST /token/refresh`, a new token each time", "a login without its hash, in process")
    assert [item["name"] for item in figures] == [*calls, *others]
    for item in figures:
        assert item.keys() == {*Figure.__dataclass_fields__, "is_met"}
        assert item["ratio"]["median"] == pytest.approx(item["subject"]["median"] / item["floor"]["median"])
        assert f"| {item['name']} |" in finished.stdout
    summary = document["sections"]["summary"]
    assert {row["Request"] for row in summary} == {item["name"] for item in figures} - {"`POST /login`"}


def test_unknown_section_is_rejected_and_containers_are_left_out_without_docker(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "floor"])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_module("benchmarks")
    assert "no such section: floor" in capsys.readouterr().err
    file = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["benchmarks", "sam", "--json", str(file)])
    monkeypatch.setenv("PATH", str(tmp_path))
    runpy.run_module("benchmarks")
    assert capsys.readouterr().err == "Containers are left out: needs Docker\n"
    assert json.loads(file.read_text())["sections"] == {"sam": []}


def test_service_runs_the_commands_of_a_peer(tmp_path):
    environment = {**environment_of("get_user", tmp_path), "PYTHONPATH": str(PROJECT)}
    command = (sys.executable, "-m", "benchmarks.quick_starts.secure_backend")
    set_up = run_command(*command, "set-up", cwd=tmp_path, env=environment)
    assert set_up.returncode == 0, set_up.stderr
    request = (tmp_path / "request.http").read_text()
    assert request.startswith("GET /users/")
    assert "Authorization: Bearer " in request
    measured = run_command(*command, "measure", cwd=tmp_path, env=environment, text="me 2\nlog-in 1\ncheck-hash 1\n")
    assert measured.returncode == 0, measured.stderr
    ready, *seconds = measured.stdout.splitlines()
    assert ready == "ready"
    assert [float(value) > 0 for value in seconds] == [True, True, True]


def test_figure_has_the_ratio_of_each_round_and_shows_a_missed_aim():
    found = figure(aim=3)
    assert found.subject == found.ratio == Spread(low=2.5, median=3.0, high=3.5)
    assert (found.is_met, figure(aim=2.9).is_met, figure().is_met) == (True, False, None)
    *_, missed, met = as_markdown([figure(aim=2.9), found]).splitlines()
    assert missed.endswith("| **3.00** (2.50..3.50) | 2.9, missed |")
    assert met.endswith("| 3 |")
    per_second = compare("ours", [0.002], "theirs", [0.001], unit="/s")
    assert (per_second.subject.median, per_second.floor.median, per_second.ratio.median) == (500, 1000, 2)


def test_order_alternates_and_the_first_round_is_not_counted():
    order = []

    def subject(name):
        def run():
            order.append(name)
            return float(len(order))

        return run

    times = run_in_turns({"a": subject("a"), "b": subject("b")}, rounds=2)
    assert "".join(order) == "abbaab"
    assert times == {"a": [4.0, 5.0], "b": [3.0, 6.0]}


def test_table_is_formatted_as_markdown_and_json():
    table = Table(("Function", "ms"), (("`login`", "5"),))
    assert as_markdown(table) == "| Function | ms |\n|---|---|\n| `login` | 5 |"
    assert json.loads(as_json({"imports": table}))["sections"] == {"imports": [{"Function": "`login`", "ms": "5"}]}


def test_summary_has_a_row_for_each_request_and_a_column_for_each_peer():
    per_second = compare(ME_BY_HTTP, [0.002], "fastapi-users", [0.004], unit="/s")
    figures = [
        compare(LOGIN_WITHOUT_HASH, [0.006], "fastapi-users", [0.003]),
        compare(LOGIN_WITHOUT_HASH, [0.006], "Django + SimpleJWT", [0.004]),
        per_second,
    ]
    floors = [compare(LOGIN_WITHOUT_HASH, [0.005], "two commits", [0.001]), compare("`POST /login`", [1], "hash", [1])]
    table = summarise({"floors": floors, "load": Table(("Request",), ()), "peers": figures})
    peers = ("fastapi-users", "Flask-Security-Too", "Django + SimpleJWT", "Better Auth, Node.js")
    assert table.heading == ("Request", "Ours", "Floor", *peers)
    assert table.rows == (
        (LOGIN_WITHOUT_HASH, "5 ms", "1 ms (**5.00**)", "3 ms (**2.00**)", "", "4 ms (**1.50**)", ""),
        (ME_BY_HTTP, "500 /s", "", "250 /s (**0.50**)", "", "", ""),
    )


def test_fresh_service_restores_the_environment(environment, capfd):
    before = dict(os.environ)
    with fresh_service(CLOCK_LEEWAY="1") as folder:
        assert (os.environ["CLOCK_LEEWAY"], os.environ["DATA_DIR"]) == ("1", str(folder))
        os.write(1, b"a log line\n")
        assert (folder / "functions.log").read_bytes() == b"a log line\n"
    assert dict(os.environ) == before
    assert not folder.exists()
    assert capfd.readouterr().out == ""


PRINT_SYNCHRONOUS = """
from auth_common.transactions import read
from benchmarks.service import fresh_service

with fresh_service():
    value = read(lambda connection: connection.exec_driver_sql("PRAGMA synchronous").scalar())
print(value)
"""


def test_fresh_service_waits_for_the_disk():
    """A process of its own, because in this one the tests' shortcuts are on."""
    assert run_command(sys.executable, "-c", PRINT_SYNCHRONOUS).stdout == f"{FULL}\n"
