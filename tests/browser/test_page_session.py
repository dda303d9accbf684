"""The session of the page when tokens expire or are rejected, and when responses are late, lost or wrong."""

import re
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from playwright.sync_api import expect

from tests.support.browser import DelayedResponse
from tests.support.callers import Caller
from tests.support.factories import PASSWORD
from tests.support.security_page import EVENTS_URL

pytestmark = [pytest.mark.pages, pytest.mark.sessions, pytest.mark.browser]

REFRESH = "**/token/refresh"


def count_refreshes(visitor):
    """Return the number of requests with which the page refreshed its tokens."""
    return visitor.requests.count(f"{visitor.url}/token/refresh")


def change_password(client, tokens):
    """Change the password in the session of the page. Its access token is rejected then, its refresh token is not."""
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    user = jwt.decode(tokens["access_token"], options={"verify_signature": False})["sub"]
    body = {"current_password": PASSWORD, "new_password": "silver kettle ninety meadows"}
    client.put(f"/users/{user}/password", headers=headers, json=body).raise_for_status()


def log_in_as_someone_else(visitor, client):
    """Register another account, and log in to it at the page."""
    visitor.email = Caller(client).email
    visitor.log_in()


@pytest.fixture
def page_login(visitor):
    """A function that logs in to a new account at the page, and returns the token pair."""

    def log_in():
        visitor.sign_up()
        with visitor.page.expect_response("**/login") as response:
            visitor.send_password()
        tokens = response.value.json()
        visitor.expect_logged_in()
        return tokens

    return log_in


@pytest.mark.parametrize("minutes", [-60, -10, 0, 60])
def test_expired_token_with_a_wrong_device_clock_is_refreshed(visitor, clock, minutes):
    """The page measures the lifetime of a token from its receipt, so the device's clock does not matter."""
    clock.install(time=datetime.now(UTC) + timedelta(minutes=minutes))
    visitor.sign_up_and_log_in()
    countdown = visitor.page.get_by_role("timer")
    expect(countdown).to_have_text(re.compile(r"^(15:00|14:\d\d)$"))
    assert count_refreshes(visitor) == 0

    clock.fast_forward("14:00")
    expect(countdown).to_have_text(re.compile(r"^(1:00|0:\d\d)$"))
    clock.fast_forward("01:01")
    expect(countdown).to_have_text("0:00, expired")
    visitor.log_out()
    assert count_refreshes(visitor) == 1
    assert visitor.error_statuses == []


def test_changed_device_clock_does_not_expire_the_token(visitor, clock):
    clock.install()
    visitor.sign_up_and_log_in()
    clock.set_system_time(datetime.now(UTC) + timedelta(hours=5))
    visitor.page.wait_for_timeout(1500)
    expect(visitor.page.get_by_role("timer")).to_have_text(re.compile(r"^(15:00|14:\d\d)$"))
    visitor.log_out()
    assert count_refreshes(visitor) == 0


def test_concurrent_rejected_requests_refresh_once_and_repeat(visitor, client):
    def reject_at_once(route):
        response = route.fetch()
        change_password(client, response.json())
        route.fulfill(response=response)

    visitor.sign_up()
    visitor.page.route("**/login", reject_at_once)
    visitor.log_in()
    # The requests for the user, the passkeys and the sessions.
    assert visitor.error_statuses == [401, 401, 401]
    assert count_refreshes(visitor) == 1
    visitor.log_out()


@pytest.mark.parametrize("failure", ["network_error", 429, 500, 503])
def test_refresh_with_a_temporary_error_keeps_the_session(visitor, client, page_login, failure):
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
    visitor.browser_errors.clear()  # Chromium logs an error about the aborted request.


def test_rejected_refresh_logs_the_page_out(visitor, client, page_login):
    tokens = page_login()
    headers = {"Authorization": f"Bearer {tokens['access_token']}", "Step-Up-Token": tokens["step_up_token"]}
    client.delete("/sessions", headers=headers).raise_for_status()
    visitor.press("Log out")
    expect(visitor.status).to_have_text("Your session has expired or was revoked. Log in again.")
    visitor.expect_heading("Log in")
    expect(visitor.page.locator("#log-out-problem")).to_be_empty()
    assert visitor.error_statuses == [401, 401]


def test_request_rejected_after_a_refresh_is_not_repeated(visitor, page_login):
    page_login()
    visitor.page.route("**/logout", lambda route: route.fulfill(status=401, json={"code": "invalid_token"}))
    visitor.press("Log out")
    expect(visitor.page.locator("#log-out-problem")).to_contain_text("401 invalid_token")
    assert (visitor.error_statuses, count_refreshes(visitor)) == ([401, 401], 1)
    visitor.page.unroute("**/logout")
    visitor.log_out()


@pytest.mark.parametrize("pattern", [REFRESH, "**/logout"])
def test_session_survives_a_lost_response_and_a_wifi_portal(visitor, page_login, pattern):
    """The login page of a public Wi-Fi replaces the response of any request, with status 200."""
    page_login()

    def lose_response(route):
        route.fetch()
        route.abort()

    visitor.route_once(REFRESH, lose_response)
    visitor.refresh_tokens()
    page = "<!doctype html><title>Welcome to our Wi-Fi</title>"
    visitor.route_once(pattern, lambda route: route.fulfill(status=200, content_type="text/html", body=page))
    button, problem = ("Renew with the refresh token", "token") if pattern == REFRESH else ("Log out", "log-out")
    visitor.press(button)
    expect(visitor.page.locator(f"#{problem}-problem")).to_contain_text("not_json")
    expect(visitor.page.locator("#me")).to_contain_text(visitor.email)
    visitor.refresh_tokens()
    visitor.log_out()
    visitor.browser_errors.clear()  # Chromium logs an error about the lost response.


def test_refresh_with_an_unknown_outcome_is_repeated_at_once(visitor, page_login):
    """The database's response to the commit was lost. A later attempt would look like the reuse of a stolen token."""
    page_login()

    def lose_commit(route):
        route.fetch()
        route.fulfill(status=503, json={"code": "service_unavailable"})

    visitor.route_once(REFRESH, lose_commit)
    visitor.refresh_tokens()
    assert (visitor.error_statuses, count_refreshes(visitor)) == ([503], 2)
    visitor.log_out()


@pytest.fixture
def delayed_refresh(visitor, page_login):
    """The response to a refresh that started before the logout. The test delivers it after the logout."""
    page_login()
    delayed = DelayedResponse(visitor, REFRESH)
    visitor.press("Renew with the refresh token")
    delayed.wait()
    visitor.log_out()
    return delayed


@pytest.mark.parametrize("changes", [{}, {"status": 401, "json": {"code": "invalid_refresh_token"}}])
def test_late_refresh_response_does_not_replace_newer_tokens(visitor, client, delayed_refresh, changes):
    log_in_as_someone_else(visitor, client)
    newer = visitor.claim("jti").text_content()
    delayed_refresh.release(**changes)
    expect(visitor.claim("jti")).to_have_text(newer)
    expect(visitor.page.locator("#me")).to_contain_text(visitor.email)
    visitor.press("Renew with the refresh token")
    expect(visitor.claim("jti")).not_to_have_text(newer)
    visitor.log_out()


def test_late_refresh_response_after_a_logout_does_not_log_in(visitor, delayed_refresh):
    delayed_refresh.release()
    expect(visitor.status).to_have_text("You are logged out.")
    expect(visitor.page.locator("#token-parts")).to_be_empty()
    expect(visitor.page.get_by_role("heading", name="Log in", exact=True)).to_be_visible()


def test_newer_login_does_not_wait_for_a_pending_refresh(visitor, client, delayed_refresh):
    with visitor.page.expect_response("**/login") as response:
        log_in_as_someone_else(visitor, client)
    change_password(client, response.value.json())
    visitor.log_out()
    assert count_refreshes(visitor) == 2
    delayed_refresh.release()


def test_late_user_data_is_not_shown_to_the_next_user(visitor, client):
    visitor.sign_up()
    earlier = visitor.email
    delayed = DelayedResponse(visitor, "**/users/*")
    visitor.send_password()
    delayed.wait()
    visitor.log_out()
    log_in_as_someone_else(visitor, client)
    delayed.release()
    expect(visitor.page.locator("#me")).to_contain_text(visitor.email)
    expect(visitor.page.locator("#me")).not_to_contain_text(earlier)


def test_late_lists_do_not_replace_newer_ones(visitor):
    """The lists of the login arrive after those that follow the addition of a passkey."""
    visitor.sign_up()
    lists = [DelayedResponse(visitor, pattern) for pattern in ("**/webauthn/credentials", "**/sessions")]
    visitor.send_password()
    for delayed in lists:
        delayed.wait()
    visitor.add_passkey()
    expect(visitor.sessions.locator("li")).to_have_count(1)
    for delayed in lists:
        delayed.release()
    expect(visitor.passkeys.locator("li")).to_contain_text(["Laptop"])
    expect(visitor.sessions.locator("li")).to_have_count(1)
    visitor.log_out()


def test_late_login_response_is_dropped_and_its_session_revoked(visitor, client):
    visitor.sign_up_with_stored_passkey()
    owner = visitor.email
    visitor.email = Caller(client).email
    delayed = DelayedResponse(visitor, "**/login")
    visitor.send_password()
    delayed.wait()
    visitor.press("Log in with a passkey alone")
    expect(visitor.page.locator("#me")).to_contain_text(owner)
    newer = visitor.claim("jti").text_content()

    with visitor.page.expect_response("**/logout"):
        delayed.release()
    expect(visitor.claim("jti")).to_have_text(newer)
    visitor.log_out()
    visitor.log_in()
    expect(visitor.sessions.locator("li")).to_have_count(1)


def test_cancelled_login_whose_response_is_late_is_revoked(visitor):
    """The user presses "Start again" after the server has got the passkey."""
    visitor.sign_up_with_stored_passkey()
    delayed = DelayedResponse(visitor, "**/webauthn/login/complete")
    visitor.send_password()
    visitor.press("Use your passkey")
    delayed.wait()
    visitor.press("Start again")
    with visitor.page.expect_response("**/logout"):
        delayed.release()
    visitor.expect_heading("Log in")
    visitor.log_in_with_both()
    expect(visitor.sessions.locator("li")).to_have_count(1)


def test_passkey_used_after_a_newer_login_leaves_that_session_alone(visitor, client):
    visitor.sign_up_with_stored_passkey()
    visitor.page.evaluate(
        """async () => {
          const { backend } = await import("/scripts/backend.js");
          const selected = new Promise((resolve) => { window.selectPasskey = resolve; });
          const on = (step) => (step === "credential" ? selected : null);
          window.outcome = backend.logInWithPasskey({ on }).catch(({ name }) => name);
        }"""
    )
    log_in_as_someone_else(visitor, client)
    assert visitor.page.evaluate("() => (selectPasskey(), outcome)") == "AbortError"
    assert f"{visitor.url}/webauthn/login/complete" not in visitor.requests
    visitor.refresh_tokens()
    expect(visitor.sessions.locator("li")).to_have_count(1)


@pytest.mark.threat("page-tokens-in-browser")
@pytest.mark.parametrize("path", ["//attacker.example/", "/\\attacker.example/", "https://attacker.example/"])
def test_path_on_another_origin_gets_no_request_and_no_token(visitor, path):
    visitor.sign_up_and_log_in()
    error = visitor.page.evaluate(
        """async (path) => {
          const { session } = await import("/scripts/backend.js");
          return session.call("GET", path).catch(({ name }) => name);
        }""",
        path,
    )
    assert error == "TypeError"
    visitor.log_out()


def test_security_page_with_a_rejected_token_refreshes_it(auditor):
    page = auditor.page
    auditor.visitor.route_once(EVENTS_URL, lambda route: route.fulfill(status=401, json={"code": "invalid_token"}))
    with page.expect_response(REFRESH), page.expect_response(EVENTS_URL):
        page.get_by_label("week").check()
    expect(page.get_by_role("heading", name="Numbers")).to_be_visible()
    auditor.expect_events()
    assert auditor.visitor.error_statuses == [401]
    assert count_refreshes(auditor.visitor) == 1
