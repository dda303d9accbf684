"""The page's login while tokens expire, are rejected, or arrive late."""

import re
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from playwright.sync_api import expect

from tests.support.browser import Visitor
from tests.support.callers import Caller
from tests.support.factories import PASSWORD
from tests.support.security_team import EVENTS

pytestmark = [pytest.mark.pages, pytest.mark.sessions, pytest.mark.browser]

REFRESH = "**/token/refresh"


def refreshes(visitor):
    """Return how often the page has sent its refresh token."""
    return visitor.requests.count(f"{visitor.url}/token/refresh")


class Held:
    """Responses that reach the page only when the test wants it. The service has already sent them."""

    def __init__(self, visitor, pattern):
        self._page, self._waiting = visitor.page, []
        visitor.page.route(pattern, self._hold, times=1)

    def _hold(self, route):
        self._waiting.append((route, route.fetch()))

    def wait(self):
        """Wait until the service has sent a response."""
        while not self._waiting:
            self._page.wait_for_timeout(20)

    def release(self, **changes):
        """Let the page have it, with ``changes``, and time to do something with it."""
        ((route, response),) = self._waiting
        with self._page.expect_response(route.request.url):
            route.fulfill(response=response, **changes)
        self._page.wait_for_timeout(100)


def change_password(client, tokens):
    """Change the password from the page's own session: its access tokens are rejected, its refresh token is not."""
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    user = jwt.decode(tokens["access_token"], options={"verify_signature": False})["sub"]
    body = {"current_password": PASSWORD, "new_password": "silver kettle ninety meadows"}
    client.put(f"/users/{user}/password", headers=headers, json=body).raise_for_status()


def log_in_as_someone_else(visitor, client):
    """Log in at the page with another account."""
    visitor.email = Caller(client).email
    visitor.log_in()


@pytest.fixture
def page_login(visitor):
    """Log in at the page, to a new account; return the tokens that the page has."""

    def log_in():
        visitor.sign_up()
        with visitor.page.expect_response("**/login") as response:
            visitor.give_password()
        tokens = response.value.json()
        visitor.expect_to_be_in()
        return tokens

    return log_in


@pytest.mark.parametrize("minutes", [-60, -10, 0, 60])
def test_access_token_on_a_device_with_a_wrong_clock_is_refreshed_when_it_expires(visitor, clock, minutes):
    """The page counts from the receipt of a token."""
    clock.install(time=datetime.now(UTC) + timedelta(minutes=minutes))
    visitor.enter()
    countdown = visitor.page.get_by_role("timer")
    expect(countdown).to_have_text(re.compile(r"^(15:00|14:\d\d)$"))
    assert refreshes(visitor) == 0

    clock.fast_forward("14:00")
    expect(countdown).to_have_text(re.compile(r"^(1:00|0:\d\d)$"))
    clock.fast_forward("01:01")
    expect(countdown).to_have_text("0:00, expired")
    visitor.log_out()
    assert refreshes(visitor) == 1
    assert visitor.refusals == []


def test_clock_that_is_set_while_the_page_is_open_changes_nothing(visitor, clock):
    clock.install()
    visitor.enter()
    clock.set_system_time(datetime.now(UTC) + timedelta(hours=5))
    visitor.page.wait_for_timeout(1500)
    expect(visitor.page.get_by_role("timer")).to_have_text(re.compile(r"^(15:00|14:\d\d)$"))
    visitor.log_out()
    assert refreshes(visitor) == 0


def test_several_requests_rejected_at_once_make_one_refresh_and_are_repeated(visitor, client):
    def reject_at_once(route):
        response = route.fetch()
        change_password(client, response.json())
        route.fulfill(response=response)

    visitor.sign_up()
    visitor.page.route("**/login", reject_at_once)
    visitor.log_in()
    # The user's data, passkeys and sessions.
    assert visitor.refusals == [401, 401, 401]
    assert refreshes(visitor) == 1
    visitor.log_out()


@pytest.mark.parametrize("failure", ["network_error", 429, 500, 503])
def test_a_refresh_that_fails_without_a_verdict_keeps_the_login(visitor, client, page_login, failure):
    change_password(client, page_login())

    def fail(route):
        if failure == "network_error":
            route.abort()
        else:
            route.fulfill(status=failure, json={"code": "busy"})

    visitor.page.route(REFRESH, fail)
    visitor.press("Log out")
    expect(visitor.page.locator("#log-out-problem")).to_contain_text(re.compile("network_error|busy"))
    expect(visitor.page.locator("#me")).to_contain_text(visitor.email)
    visitor.page.unroute(REFRESH)
    visitor.log_out()
    visitor.complaints.clear()  # Chromium's, about the missing network


def test_refresh_that_is_rejected_ends_the_login(visitor, client, page_login):
    tokens = page_login()
    headers = {"Authorization": f"Bearer {tokens['access_token']}", "Step-Up-Token": tokens["step_up_token"]}
    client.delete("/sessions", headers=headers).raise_for_status()
    visitor.press("Log out")
    expect(visitor.status).to_have_text("This session has ended.")
    visitor.expect_heading("Log in")
    expect(visitor.page.locator("#log-out-problem")).to_be_empty()
    assert visitor.refusals == [401, 401]


def test_a_request_that_is_rejected_with_new_tokens_too_is_not_repeated_for_ever(visitor, page_login):
    page_login()
    visitor.page.route("**/logout", lambda route: route.fulfill(status=401, json={"code": "invalid_token"}))
    visitor.press("Log out")
    expect(visitor.page.locator("#log-out-problem")).to_contain_text("401 invalid_token")
    assert (visitor.refusals, refreshes(visitor)) == ([401, 401], 1)
    visitor.page.unroute("**/logout")
    visitor.log_out()


@pytest.mark.parametrize("pattern", [REFRESH, "**/logout"])
def test_login_goes_on_after_a_lost_response_and_one_of_another_server(visitor, page_login, pattern):
    """A hotel's network answers each request with 200 and its own login page."""
    page_login()

    def lose_response(route):
        route.fetch()
        route.abort()

    visitor.page.route(REFRESH, lose_response, times=1)
    visitor.renew()
    page = "<!doctype html><title>Welcome to our Wi-Fi</title>"
    visitor.page.route(pattern, lambda route: route.fulfill(status=200, content_type="text/html", body=page), times=1)
    button, problem = ("Renew with the refresh token", "token") if pattern == REFRESH else ("Log out", "log-out")
    visitor.press(button)
    expect(visitor.page.locator(f"#{problem}-problem")).to_contain_text("not_json")
    expect(visitor.page.locator("#me")).to_contain_text(visitor.email)
    visitor.renew()
    visitor.log_out()
    visitor.complaints.clear()  # Chromium's, about the lost response


@pytest.fixture
def held_refresh(visitor, page_login):
    """A response to a refresh that the page gets after its logout, when the test wants it."""
    page_login()
    held = Held(visitor, REFRESH)
    visitor.press("Renew with the refresh token")
    held.wait()
    visitor.log_out()
    return held


@pytest.mark.parametrize("changes", [{}, {"status": 401, "json": {"code": "invalid_refresh_token"}}])
def test_refresh_response_after_a_newer_login_does_not_replace_its_tokens(visitor, client, held_refresh, changes):
    log_in_as_someone_else(visitor, client)
    newer = visitor.claim("jti").text_content()
    held_refresh.release(**changes)
    expect(visitor.claim("jti")).to_have_text(newer)
    expect(visitor.page.locator("#me")).to_contain_text(visitor.email)
    visitor.press("Renew with the refresh token")
    expect(visitor.claim("jti")).not_to_have_text(newer)
    visitor.log_out()


def test_refresh_response_after_a_logout_does_not_log_in(visitor, held_refresh):
    held_refresh.release()
    expect(visitor.status).to_have_text("You are logged out.")
    expect(visitor.page.locator("#token-parts")).to_be_empty()
    expect(visitor.page.get_by_role("heading", name="Log in", exact=True)).to_be_visible()


def test_newer_login_does_not_wait_for_an_older_refresh(visitor, client, held_refresh):
    with visitor.page.expect_response("**/login") as response:
        log_in_as_someone_else(visitor, client)
    change_password(client, response.value.json())
    visitor.log_out()
    assert refreshes(visitor) == 2
    held_refresh.release()


def test_the_data_of_an_earlier_login_is_not_shown_to_a_later_one(visitor, client):
    visitor.sign_up()
    earlier = visitor.email
    held = Held(visitor, "**/users/*")
    visitor.give_password()
    held.wait()
    visitor.log_out()
    log_in_as_someone_else(visitor, client)
    held.release()
    expect(visitor.page.locator("#me")).to_contain_text(visitor.email)
    expect(visitor.page.locator("#me")).not_to_contain_text(earlier)


def test_a_login_response_after_a_newer_login_is_dropped_and_its_session_revoked(visitor, client):
    visitor.enter()
    owner = visitor.email
    visitor.add_passkey()
    visitor.log_out()
    visitor.email = Caller(client).email
    held = Held(visitor, "**/login")
    visitor.give_password()
    held.wait()
    visitor.press("Log in with a passkey alone")
    expect(visitor.page.locator("#me")).to_contain_text(owner)
    newer = visitor.claim("jti").text_content()

    with visitor.page.expect_response("**/logout"):
        held.release()
    expect(visitor.claim("jti")).to_have_text(newer)
    visitor.log_out()
    visitor.log_in()
    expect(visitor.sessions.locator("li")).to_have_count(1)


def test_two_tabs_have_sessions_of_their_own(visitor, url):
    visitor.enter()
    tab = visitor.page.context.new_page()
    other = Visitor(tab, url)
    other.email = visitor.email
    other.log_in()
    for page in (visitor, other, other, visitor):
        page.renew()
    other.log_out()
    visitor.renew()
    visitor.log_out()
    assert visitor.refusals == other.refusals == []
    tab.close()


def test_the_security_page_refreshes_a_rejected_token_and_goes_on(auditor):
    page = auditor.page
    page.route(EVENTS, lambda route: route.fulfill(status=401, json={"code": "invalid_token"}), times=1)
    page.get_by_label("week").check()
    expect(page.locator("#news")).to_contain_text("event")
    expect(page.get_by_role("heading", name="Numbers")).to_be_visible()
    auditor.expect_events()
    assert auditor.visitor.refusals == [401]
    assert refreshes(auditor.visitor) == 1
