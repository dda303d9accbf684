"""A pytest plugin: leave slow tests out of a plain ``pytest`` run. ``pytest --all`` runs all tests.

A plain run tests every function and every module on SQLite. It leaves out the same tests on other databases, and tests
that take minutes or need more software. The marker ``quick`` keeps a single test in the plain run.

The branch coverage of some kinds is not measured, because their tests execute only code that other tests execute.
Measuring makes Python code 1.7 times as slow. The marker ``unmeasured`` says the same of single tests.
"""

import os
from collections import Counter
from collections.abc import Generator
from typing import Any, Final

import pytest
from coverage import Coverage

#: What the tests with each marker need or do.
_KINDS: Final = {
    "benchmark": "benchmarks",
    "browser": "pages in Chromium",
    "fault": "broken disks, processes, connections and clocks",
    "fuzz": "fuzzing by the OpenAPI document, and most hostile strings",
    "gateways": "the recipes in examples/, which need Node.js, HAProxy and Apache",
    "httpyac": "requests.http, which needs Node.js",
    "sam": "SAM CLI, some of it in Docker",
    "template": "the deployed template",
    "thorough": "checks of the whole repository",
}
#: What the tests with each value of the parameter ``database`` are.
_DATABASES: Final = {
    "postgresql": "the same tests on PostgreSQL",
    "auroradsql": "the same tests on the stand-in for Aurora DSQL",
}
#: The tests with one of these markers are not measured.
_UNMEASURED: Final = ("benchmark", "browser", "fuzz", "gateways", "httpyac", "sam", "unmeasured")
#: The features that have code for Aurora DSQL alone.
_WITH_CODE_FOR_DSQL: Final = ("audit", "database")
_left_out: Final = pytest.StashKey[Counter[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option ``--all``."""
    parser.addoption("--all", action="store_true", help="run also what a plain run leaves out (make test-all)")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Return the number of processes that ``-n auto`` means for all tests: half as many again as there are cores.

    Tests of browsers, containers and other processes spend much of their time waiting. For a plain run, xdist decides.
    """
    if not config.getoption("--all") or "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    cores = os.cpu_count() or 1
    return cores + cores // 2


@pytest.hookimpl(trylast=True)  # After -m, so that only the tests that -m selects are counted.
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that a plain run leaves out, unless the command names single tests. Move slow tests first."""
    config.stash[_left_out] = Counter()
    if not config.getoption("--all") and not any("::" in argument for argument in config.args):
        kinds = {item: _kind(item) for item in items}
        config.stash[_left_out].update(kind for kind in kinds.values() if kind)
        config.hook.pytest_deselected(items=[item for item, kind in kinds.items() if kind])
        items[:] = [item for item, kind in kinds.items() if not kind]
    # Slow tests come first: at the end, one worker of pytest-xdist would run them while the others are idle.
    items.sort(key=_place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test that repeats other tests without measuring its coverage, and that of the processes it starts."""
    measuring = Coverage.current()
    if measuring is None or _is_measured(item):
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        measuring.stop()
        try:
            return (yield)
        finally:
            measuring.start()


def _is_measured(item: pytest.Item) -> bool:
    if any(map(item.get_closest_marker, _UNMEASURED)):
        return False
    return _kind(item) != _DATABASES["auroradsql"] or any(map(item.get_closest_marker, _WITH_CODE_FOR_DSQL))


def _place(item: pytest.Item) -> int:
    """Return the order of a test: 0 for a group that one worker runs, 1 for a slow kind, 2 for other tests."""
    if item.get_closest_marker("xdist_group"):
        return 0
    return 1 if any(map(item.get_closest_marker, _KINDS)) else 2


def _kind(item: pytest.Item) -> str | None:
    if item.get_closest_marker("quick"):
        return None
    for name, kind in _KINDS.items():
        if item.get_closest_marker(name):
            return kind
    if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
        database = item.callspec.params.get("database")
        return _DATABASES.get(database) if isinstance(database, str) else None
    return None


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the numbers of tests that this worker left out to the controller of pytest-xdist."""
    if hasattr(session.config, "workeroutput"):
        left_out = session.config.stash.get(_left_out, None)
        session.config.workeroutput["left_out"] = dict(left_out or {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Store the numbers of a worker. All workers leave out the same tests. A crashed worker sends no numbers."""
    if hasattr(node, "workeroutput"):
        node.config.stash[_left_out] = Counter(node.workeroutput["left_out"])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the number of tests that were left out, and the command that runs them."""
    left_out = config.stash.get(_left_out, Counter[str]())
    if not left_out:
        return
    terminalreporter.section("left out of this run: `make test-all` runs it")
    for kind, number in left_out.most_common():
        terminalreporter.line(f"{number:6} {kind}")
