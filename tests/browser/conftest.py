"""One browser and one service for all tests of the page; a window of its own for each visitor."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import Visitor, find_chromium, running_chromium
from tests.support.requirements import require
from tests.support.runtime import running_service
from tests.support.security_team import Auditor


# "package" and not "session": asyncio.run() works nowhere while Playwright's event loop runs.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = find_chromium()
    require(path, "needs Chromium (apt-get install chromium)")
    assert path is not None
    # A function's first request is a cold start, on a machine that runs other tests too.
    expect.set_options(timeout=20_000)
    with running_chromium(path) as browser:
        yield browser


@pytest.fixture(scope="package")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The service's storage."""
    return tmp_path_factory.mktemp("browser") / "data"


@pytest.fixture(scope="package")
def url(data_dir: Path) -> Iterator[str]:
    with running_service(data_dir) as url:
        yield url


@pytest.fixture
def no_counts(data_dir: Path) -> None:
    """All tests come from one address: each begins with nothing counted against it."""
    for file in data_dir.glob("*.sqlite3"):
        with closing(sqlite3.connect(file, timeout=30)) as connection, connection:
            connection.execute("DELETE FROM throttles")


@pytest.fixture
def visit(chromium: Browser, url: str, no_counts: None) -> Iterator[Callable[..., Visitor]]:
    """Opens the page in a new window; afterwards the window must not have complained, nor called anybody else.

    The requests that the service refused (``refusals``) are the test's own concern.
    """
    visitors: list[Visitor] = []

    def open_window(**context: object) -> Visitor:
        visitors.append(Visitor(chromium, url, **context))
        return visitors[-1]

    yield open_window
    for visitor in visitors:
        visitor.close()
    assert [complaint for visitor in visitors for complaint in visitor.complaints] == []
    requests = [request for visitor in visitors for request in visitor.requests]
    assert [request for request in requests if not request.startswith(f"{url}/")] == []


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    return visit()


@pytest.fixture
def auditor(visit: Callable[..., Visitor], data_dir: Path) -> Auditor:
    """A member of the Security team, logged in at the page for it."""
    return Auditor(visit(), data_dir)
