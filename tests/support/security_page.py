"""Use the security page (public/security.html), and cause the security events that it shows."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

from playwright.sync_api import Route, expect

from tests.support import leaks
from tests.support.browser import Visitor
from tests.support.callers import Caller
from tests.support.factories import PASSWORD, registration
from tests.support.http_clients import plain_client

#: The URLs of the requests for pages of events.
EVENTS_URL: Final = "**/audit/events?*"
#: The URLs of the requests for the numbers.
SUMMARY_URL: Final = "**/audit/summary?*"
#: HTML, an attribute with JavaScript, and template expressions, in one line.
HOSTILE_TEXT: Final = "<img src=x onerror=alert(1)>\"><script>alert(2)</script>{{7*7}}${7*7}'`"


class Auditor:
    """A member of the security team who is logged in at the security page."""

    def __init__(self, visitor: Visitor, member: Caller) -> None:
        """Copy the member's passkey to the visitor's device, and log in."""
        self.visitor = visitor
        self.page = visitor.page
        visitor.email = member.email
        assert member.device
        visitor.load_passkey(member.device.credentials[0])
        self.log_in()

    def log_in(self) -> None:
        """Log in with the passkey alone, wait for the events, and pause the page.

        Otherwise the page may poll at any moment of a test, and its requests and its texts look like those of the test.
        """
        self.visitor.press("Log in with a passkey alone")
        self.expect_heading("Numbers")
        self.expect_events()
        if self.page.locator("#pause").get_attribute("aria-pressed") == "false":
            self._toggle_pause()

    def resume(self) -> None:
        """Let the page poll, at once and then every ten seconds. The keyboard focus stays where it is."""
        self._toggle_pause()

    def _toggle_pause(self) -> None:
        self.page.locator("#pause").evaluate("button => button.click()")

    def expect_events(self) -> None:
        """Wait until the page shows the list of events."""
        expect(self.page.locator("#news")).to_contain_text("event")

    def expect_heading(self, name: str) -> None:
        """Wait until the heading with this name has the focus."""
        self.visitor.expect_heading(name)

    def show_failures_of(self, caller: Caller, **options: Any) -> Any:
        """Cause failed logins of an account, filter by them, and return the API's response."""
        fail_to_log_in(self.visitor.url, caller.email, **options)
        return self.filter(user_id=caller.id, event="authn_login_fail")

    def choose_range(self, name: str) -> None:
        """Select a time range by its label, such as "hour", and wait for its numbers."""
        with self.page.expect_response(SUMMARY_URL):
            self.page.get_by_label(name).check()

    def ignore_earlier_events(self) -> None:
        """Let the numbers of the page begin now, so that they do not depend on the events of earlier tests."""
        begin = quote(datetime.now(UTC).isoformat())

        def shorten(route: Route) -> None:
            route.continue_(url=re.sub("(?<=[?&]from=)[^&]*", begin, route.request.url))

        self.page.route(SUMMARY_URL, shorten)

    def replace_events(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Replace each page of events that the API returns by ``change(page)``."""

        def replace(route: Route) -> None:
            response = route.fetch()
            route.fulfill(response=response, json=change(response.json()))

        self.page.route(EVENTS_URL, replace)

    def filter(self, **values: str) -> Any:
        """Reset the filter form, fill in ``values`` by field name, and wait until the page shows the events.

        Return the response of the API. Without ``starts="yes"`` the events of function starts are removed, because the
        page hides them.
        """
        form = self.page.locator("#filters")
        form.evaluate("form => form.reset()")
        starts = values.pop("starts", "")
        form.locator("[name=starts]").set_checked(bool(starts))
        for name, value in values.items():
            field = form.locator(f'[name="{name}"]')
            if field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)
        with self.page.expect_response(EVENTS_URL) as response:
            self.visitor.press("Filter")
        document = response.value.json()
        if response.value.ok and not starts:
            document["items"] = [event for event in document["items"] if event["event"] != "sys_startup"]
        if response.value.ok:
            self.page.wait_for_function(
                "ids => document.querySelectorAll('#event-rows tr').length === ids.length"
                " && [...document.querySelectorAll('#event-rows tr')].every((row, i) => row.dataset.event === ids[i])",
                arg=[event["id"] for event in document["items"]],
            )
        return document

    @property
    def rows(self) -> Any:
        """The rows of the list of events."""
        return self.page.locator("#event-rows tr")

    @property
    def dialog(self) -> Any:
        """The dialog with the details of an event."""
        return self.page.get_by_role("dialog")

    def open_details(self, row: Any) -> Any:
        """Open the details of a row, and wait until the page has read and checked its audit record again."""
        row.locator("[aria-haspopup=dialog]").click()
        expect(self.dialog).to_be_visible()
        expect(self.dialog.locator(".checked")).to_contain_text("Checked ")
        return self.dialog

    def shown_ids(self) -> list[str]:
        """Return the ids of the events in the list, in order."""
        ids: list[str] = self.rows.evaluate_all("rows => rows.map(row => row.dataset.event)")
        return ids

    def headline(self, event: str) -> Any:
        """Return the element with the headline number of an event name."""
        return self.page.locator(f'[data-headline="{event}"] dd')


def fail_to_log_in(url: str, email: str, *, times: int = 1, user_agent: str = "guesser/1.0") -> None:
    """Send ``times`` logins with wrong passwords."""
    with plain_client(url, headers={"User-Agent": user_agent}) as client:
        for number in range(times):
            response = client.post("/login", json={"email": email, "password": f"not the password, {number}"})
            assert response.status_code == 401


def reuse_refresh_token(url: str, email: str) -> None:
    """Register a user, and send a refresh token again after the next token of its family has been spent."""
    with plain_client(url) as client:
        body = registration(email=email)
        leaks.remember(body["password"])
        client.post("/users", json=body).raise_for_status()
        tokens = client.post("/login", json={"email": email, "password": body["password"]}).raise_for_status().json()
        first = tokens["refresh_token"]
        second = client.post("/token/refresh", json={"refresh_token": first}).raise_for_status().json()["refresh_token"]
        client.post("/token/refresh", json={"refresh_token": second}).raise_for_status()
        assert client.post("/token/refresh", json={"refresh_token": first}).status_code == 401


def log_in_with_password(url: str, email: str) -> dict[str, Any]:
    """Log in with a password alone, and return the token pair."""
    with plain_client(url) as client:
        response = client.post("/login", json={"email": email, "password": PASSWORD}).raise_for_status()
    tokens: dict[str, Any] = response.json()
    return tokens


def request_other_users(url: str, email: str, *, times: int) -> None:
    """Request the data of other users. Each request is recorded, because no lockout stops these requests."""
    headers = {"Authorization": f"Bearer {log_in_with_password(url, email)['access_token']}"}
    with plain_client(url, headers=headers) as client:
        for _ in range(times):
            assert client.get(f"/users/{uuid4()}").status_code == 403
