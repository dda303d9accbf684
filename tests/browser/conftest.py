"""One browser and one service for all tests of the page; a window of its own for each visitor."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import Visitor, find_chromium, running_chromium
from tests.support.callers import Caller, caller_with_role
from tests.support.requirements import require
from tests.support.runtime import running_service
from tests.support.security_team import Auditor


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these tests in one process, together with those that start Docker's containers, and so not beside them.

    While Docker adds or removes a network interface, Chromium fails requests with ERR_NETWORK_CHANGED.
    """
    for item in items:
        if item.get_closest_marker("browser") and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("sam"))


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


@pytest.fixture(scope="package")
def client(url: str) -> Iterator[httpx.Client]:
    """The service without its pages."""
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture(scope="package")
def window(chromium: Browser) -> Page:
    """The window that tests use one after another: a page opens in a third of the time that it takes in a new one."""
    return chromium.new_context().new_page()


@pytest.fixture
def new_window(chromium: Browser) -> Iterator[Callable[[], Page]]:
    """Opens the window of another browser."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(chromium.new_context()).new_page()


@pytest.fixture
def first_window(request: pytest.FixtureRequest, window: Page, new_window: Callable[[], Page]) -> Page:
    """A test's first window: a new one if the test sets the clock, which cannot be set back."""
    return new_window() if "clock" in request.fixturenames else window


@pytest.fixture
def clock(first_window: Page) -> Any:
    """The clock of a test's first window."""
    return first_window.clock


@pytest.fixture
def visit(
    first_window: Page, new_window: Callable[[], Page], url: str, no_counts: None
) -> Iterator[Callable[..., Visitor]]:
    """Opens the page in a new window; afterwards the window must not have complained, nor called anybody else.

    Each further window of a test is another device's. The requests that the service refused (``refusals``) are
    the test's own concern.
    """
    visitors: list[Visitor] = []

    def open_window(**options: Any) -> Visitor:
        visitors.append(Visitor(new_window() if visitors else first_window, url, **options))
        return visitors[-1]

    yield open_window
    for visitor in visitors:
        visitor.leave()
    assert [complaint for visitor in visitors for complaint in visitor.complaints] == []
    requests = [request for visitor in visitors for request in visitor.requests]
    assert [request for request in requests if not request.startswith(f"{url}/")] == []


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    return visit()


@pytest.fixture(scope="package")
def security_member(client: httpx.Client, data_dir: Path) -> Caller:
    """A member of the Security team, with a passkey."""
    member = caller_with_role("security", client, data_dir)
    member.headers()
    return member


@pytest.fixture
def auditor(visit: Callable[..., Visitor], security_member: Caller) -> Auditor:
    """The member of the Security team, logged in at the page for it."""
    return Auditor(visit(path="/security.html"), security_member)


@pytest.fixture
def target(client: httpx.Client) -> Caller:
    """Somebody whose password is being guessed."""
    return Caller(client)
