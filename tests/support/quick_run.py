"""What a plain ``pytest`` run leaves out, and how ``pytest --all`` brings it back.

A plain run is for the minute after a change: every function and every module, on SQLite. It leaves out the same tests
on other databases and what needs minutes or extra software. The marker ``quick`` brings a single test back.
"""

from collections import Counter
from typing import Any, Final

import pytest

#: By marker: what a test of this kind needs or does.
_KINDS: Final = {
    "benchmark": "benchmarks",
    "browser": "pages in Chromium",
    "fault": "broken disks, processes, connections and clocks",
    "fuzz": "fuzzing by the OpenAPI document",
    "httpyac": "requests.http, which needs Node.js",
    "sam": "SAM CLI, some of it in Docker",
    "template": "the deployed template",
    "thorough": "checks of the whole repository",
}
#: By the value of the parameter ``database``.
_DATABASES: Final = {
    "postgresql": "the same tests on PostgreSQL",
    "auroradsql": "the same tests on the stand-in for Aurora DSQL",
}
_left_out: Final = pytest.StashKey[Counter[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--all``."""
    parser.addoption("--all", action="store_true", help="run what a plain run leaves out, too (make test-all)")


@pytest.hookimpl(trylast=True)  # after -m, whose choice is counted
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what a plain run leaves out, unless the command names single tests. Start slow tests first."""
    config.stash[_left_out] = Counter()
    if not config.getoption("--all") and not any("::" in argument for argument in config.args):
        kinds = {item: _kind(item) for item in items}
        config.stash[_left_out].update(kind for kind in kinds.values() if kind)
        config.hook.pytest_deselected(items=[item for item, kind in kinds.items() if kind])
        items[:] = [item for item, kind in kinds.items() if not kind]
    # Otherwise the last worker of pytest-xdist would run them alone, while the others have nothing to do.
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    """Return whether a test is one of a group that one worker runs (0), of a slow kind (1), or another one (2)."""
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
    """Tell the controller of pytest-xdist what this worker has left out."""
    if hasattr(session.config, "workeroutput"):
        left_out = session.config.stash.get(_left_out, None)
        session.config.workeroutput["left_out"] = dict(left_out or {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear it from a worker: all of them leave out the same. A worker that crashed has no output."""
    if hasattr(node, "workeroutput"):
        node.config.stash[_left_out] = Counter(node.workeroutput["left_out"])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name what was left out and how to run it."""
    left_out = config.stash.get(_left_out, Counter[str]())
    if not left_out:
        return
    terminalreporter.section("left out of this run: `make test-all` runs it")
    for kind, number in left_out.most_common():
        terminalreporter.line(f"{number:6} {kind}")
