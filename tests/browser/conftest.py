"""Fixtures of the browser tests: one browser and one service for all tests, and windows with virtual authenticators."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import AUTOFILL_WAITS, Visitor
from tests.support.callers import Caller, caller_with_role
from tests.support.requirements import require
from tests.support.runtime import running_service
from tests.support.security_page import Auditor
from tools.demo.chromium import NO_AUTOFILL, find_chromium, running_chromium


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the browser tests in the same worker process as the tests that start Docker containers, so never at once.

    While Docker adds or removes a network interface, Chromium fails requests with ERR_NETWORK_CHANGED.
    """
    for item in items:
        if item.get_closest_marker("browser") and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("sam"))


# The scope is "package", because asyncio.run() fails in other tests while Playwright's event loop runs.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = find_chromium()
    require(path, "needs Chromium (apt-get install chromium-headless-shell)")
    assert path is not None
    # The first request to a function is a cold start, and the machine may be busy with other tests.
    expect.set_options(timeout=60_000)
    with running_chromium(path) as browser:
        yield browser


@pytest.fixture(scope="package")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the service."""
    return tmp_path_factory.mktemp("browser") / "data"


@pytest.fixture(scope="package")
def url(data_dir: Path) -> Iterator[str]:
    with running_service(data_dir, TOKEN_RESOURCES="https://orders.example.com") as url:
        httpx.get(f"{url}/health", timeout=60)  # The first request makes the tables.
        yield url


@pytest.fixture
def reset_rate_limits(data_dir: Path) -> None:
    """Delete the counters of the rate limits, because all tests have the same client IP."""
    for file in data_dir.glob("*.sqlite3"):
        with closing(sqlite3.connect(file, timeout=30)) as connection, connection:
            connection.execute("DELETE FROM throttles")


@pytest.fixture(scope="package")
def client(url: str) -> Iterator[httpx.Client]:
    """An HTTP client for requests to the service without a page."""
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture(scope="package")
def window(chromium: Browser) -> Page:
    """A window that tests share one after another. A page opens three times as fast as in a new window."""
    context = chromium.new_context()
    context.add_init_script(NO_AUTOFILL)
    return context.new_page()


@pytest.fixture(scope="package")
def autofill_window(chromium: Browser) -> Page:
    """The shared window of the tests that use autofill. See ``AUTOFILL_WAITS``."""
    context = chromium.new_context()
    context.add_init_script(AUTOFILL_WAITS)
    return context.new_page()


@pytest.fixture
def new_window(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[[], Page]]:
    """A function that opens a window with its own cookies and storage, like another browser."""
    with ExitStack() as stack:

        def open_window() -> Page:
            context = stack.enter_context(chromium.new_context())
            context.add_init_script(AUTOFILL_WAITS if "autofill" in request.fixturenames else NO_AUTOFILL)
            return context.new_page()

        yield open_window


@pytest.fixture
def autofill() -> None:
    """The windows of the test support passkeys in the autofill of a form. See ``AUTOFILL_WAITS``."""


@pytest.fixture
def first_window(request: pytest.FixtureRequest, new_window: Callable[[], Page]) -> Page:
    """The first window of a test: a new one if the test uses the clock, which Playwright cannot reset."""
    if "clock" in request.fixturenames:
        return new_window()
    shared: Page = request.getfixturevalue("autofill_window" if "autofill" in request.fixturenames else "window")
    return shared


@pytest.fixture
def clock(first_window: Page) -> Any:
    """The Playwright clock of the first window of a test."""
    return first_window.clock


@pytest.fixture
def visit(
    first_window: Page, new_window: Callable[[], Page], url: str, reset_rate_limits: None
) -> Iterator[Callable[..., Visitor]]:
    """A function that opens the page. The second and further windows of a test are other devices.

    After the test, fail if a page logged an error or a warning, or sent a request to another server. The test itself
    checks the error responses of the service (``error_statuses``).
    """
    visitors: list[Visitor] = []

    def open_window(**options: Any) -> Visitor:
        visitors.append(Visitor(new_window() if visitors else first_window, url, **options))
        return visitors[-1]

    yield open_window
    for visitor in visitors:
        visitor.free_window()
    assert [error for visitor in visitors for error in visitor.browser_errors] == []
    requests = [request for visitor in visitors for request in visitor.requests]
    assert [request for request in requests if not request.startswith(f"{url}/")] == []


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    return visit()


@pytest.fixture(scope="package")
def security_member(client: httpx.Client, data_dir: Path) -> Caller:
    """A user with the role ``security`` and a passkey."""
    member = caller_with_role("security", client, data_dir)
    member.headers()
    return member


@pytest.fixture
def auditor(visit: Callable[..., Visitor], security_member: Caller) -> Auditor:
    """A user with the role ``security`` who is logged in at the security page."""
    return Auditor(visit(path="/security.html"), security_member)


@pytest.fixture
def target(client: httpx.Client) -> Caller:
    """A user whose password an attacker guesses."""
    return Caller(client)
