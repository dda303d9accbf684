"""Passkeys in the autofill of the login form (conditional mediation): one request waits until the user selects one."""

import pytest
from playwright.sync_api import Route, expect

from tests.support.callers import Caller

pytestmark = [pytest.mark.pages, pytest.mark.passkeys, pytest.mark.browser]

BEGIN = "**/webauthn/login/begin"


def begun(visitor):
    """Return the number of challenges that the page has requested."""
    return visitor.requests.count(f"{visitor.url}/webauthn/login/begin")


def expect_begun(visitor, number):
    """Wait until the page has requested this number of challenges, and check that it requests no more."""
    while begun(visitor) < number:
        visitor.page.wait_for_timeout(20)
    visitor.page.evaluate("() => fetch('/health').then((response) => response.text())")
    assert begun(visitor) == number


def show_or_hide(visitor, *, is_hidden):
    """Switch to the tab of the page, or to another one."""
    visitor.page.evaluate(
        """isHidden => {
          Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        is_hidden,
    )


def select_passkey(visitor):
    """Wait until the page offers passkeys in the autofill of the login form, and select one."""
    visitor.page.wait_for_function("() => window.selectPasskey")
    visitor.page.evaluate("() => selectPasskey()")


def offers_passkeys(visitor):
    """Return whether the page offers passkeys in the autofill of the login form."""
    return visitor.page.evaluate("() => Boolean(window.selectPasskey)")


@pytest.fixture
def waiting(visitor, autofill):
    """A user with a passkey at the login form. The user has not selected the passkey yet."""
    visitor.sign_up_with_stored_passkey()
    expect_begun(visitor, 1)
    visitor.requests.clear()
    return visitor


def test_user_selects_a_passkey_in_the_login_form_after_a_logout(visitor, autofill):
    visitor.sign_up_with_passkey()
    with visitor.page.expect_response(BEGIN):
        visitor.log_out()
    visitor.requests.clear()
    field = visitor.page.locator("#login-email")
    expect(field).to_have_attribute("autocomplete", "username webauthn")
    expect(visitor.status).to_have_text("You are logged out.")
    expect(visitor.page.locator(".step .message")).to_have_count(0)
    select_passkey(visitor)
    visitor.expect_logged_in()
    expect(visitor.claim("amr")).to_contain_text('["hwk","user","mfa"]')
    # The diagram shows the request that waited.
    states = visitor.page.locator("#flow-passkey-alone .step").evaluate_all("steps => steps.map(s => s.dataset.state)")
    assert set(states) == {"done"}
    expect(visitor.step("passkey-alone", "options")).to_contain_text("challenge")
    assert begun(visitor) == 0
    assert visitor.error_statuses == []


def test_other_ceremony_replaces_the_waiting_request(waiting):
    waiting.log_in_with_passkey()
    assert begun(waiting) == 1
    with waiting.page.expect_response(BEGIN):
        waiting.log_out()
    waiting.log_in_with_both()
    assert not offers_passkeys(waiting)
    expect(waiting.claim("amr")).to_contain_text('["pwd","hwk","user","mfa"]')
    assert waiting.error_statuses == []


def test_failed_ceremony_is_followed_by_a_new_waiting_request(waiting):
    waiting.set_authenticator(verifies=False)
    waiting.press("Log in with a passkey alone")
    expect(waiting.page.locator("#passkey-login-form").get_by_role("alert")).to_contain_text("The passkey was not used")
    expect_begun(waiting, 2)
    waiting.set_authenticator()
    select_passkey(waiting)
    waiting.expect_logged_in()


def test_password_login_ends_the_waiting_request(waiting, client):
    waiting.email = Caller(client).email
    waiting.log_in()
    assert not offers_passkeys(waiting)
    expect(waiting.page.locator("#me")).to_contain_text(waiting.email)
    expect(waiting.claim("amr")).to_contain_text('["pwd"]')
    assert f"{waiting.url}/webauthn/login/complete" not in waiting.requests


def test_challenge_is_renewed_before_it_expires_but_not_in_a_hidden_page(visit, clock, autofill):
    clock.install()
    visitor = visit()
    visitor.sign_up_with_stored_passkey()
    expect_begun(visitor, 1)
    visitor.requests.clear()
    with visitor.page.expect_response(BEGIN):
        clock.fast_forward("04:01")
    expect_begun(visitor, 1)
    show_or_hide(visitor, is_hidden=True)
    for _ in range(3):
        clock.fast_forward("10:00")
    expect_begun(visitor, 1)
    with visitor.page.expect_response(BEGIN):
        show_or_hide(visitor, is_hidden=False)
    expect_begun(visitor, 2)
    select_passkey(visitor)
    visitor.expect_logged_in()
    assert visitor.error_statuses == []


def test_rejected_passkey_is_reported_and_can_be_selected_again(waiting):
    problem = {"code": "passkey_login_failed", "detail": "The passkey was rejected."}
    waiting.route_once("**/webauthn/login/complete", lambda route: route.fulfill(status=401, json=problem))
    with waiting.page.expect_response(BEGIN):
        select_passkey(waiting)
    alert = waiting.page.locator("#passkey-login-form").get_by_role("alert")
    expect(alert).to_contain_text("401 passkey_login_failed")
    expect(waiting.step("passkey-alone", "complete")).to_have_attribute("data-state", "failed")
    expect_begun(waiting, 1)
    select_passkey(waiting)
    waiting.expect_logged_in()


def test_rejection_long_after_the_selection_is_reported(visit, clock, autofill):
    """The time of the waiting request is over, but the user has selected a passkey before."""
    clock.install()
    visitor = visit()
    visitor.sign_up_with_stored_passkey()
    waiting: list[Route] = []
    visitor.route_once("**/webauthn/login/complete", waiting.append)
    select_passkey(visitor)
    visitor.wait_until(lambda: waiting)
    clock.fast_forward("04:01")
    waiting.pop().fulfill(status=401, json={"code": "passkey_login_failed", "detail": "The passkey was rejected."})
    alert = visitor.page.locator("#passkey-login-form").get_by_role("alert")
    expect(alert).to_contain_text("401 passkey_login_failed")


def test_rate_limited_page_requests_no_challenge_before_retry_after(visit, clock, autofill):
    clock.install()
    visitor = visit()
    expect_begun(visitor, 1)
    rejection = {"status": 429, "headers": {"Retry-After": "60"}, "json": {"code": "too_many_requests"}}
    visitor.page.route(BEGIN, lambda route: route.fulfill(**rejection))
    visitor.requests.clear()
    visitor.press("Log in with a passkey alone")
    expect(visitor.page.locator("#passkey-login-form").get_by_role("alert")).to_contain_text("429")
    # First the button's request was rejected, and then the one of the autofill.
    for number in (1, 2):
        show_or_hide(visitor, is_hidden=False)
        expect_begun(visitor, number)
        clock.fast_forward("01:01")
        show_or_hide(visitor, is_hidden=False)
        expect_begun(visitor, number + 1)
    assert visitor.error_statuses == [429, 429, 429]


def test_failed_begin_is_not_repeated_until_the_user_returns(visit, autofill):
    visitor = visit()
    expect_begun(visitor, 1)
    visitor.page.route(BEGIN, lambda route: route.fulfill(status=503, json={"code": "unavailable"}))
    visitor.requests.clear()
    visitor.page.reload()
    expect_begun(visitor, 1)
    expect(visitor.page.locator("#passkey-login-form").get_by_role("alert")).to_be_empty()
    show_or_hide(visitor, is_hidden=False)
    expect_begun(visitor, 2)


@pytest.mark.parametrize(
    "available",
    ["undefined", "async () => false", "() => Promise.reject(new Error('no'))", "() => { throw new Error('no'); }"],
)
def test_browser_without_conditional_mediation_sends_no_request(visit, available):
    visit()
    visitor = visit()  # The init script below stays in a window, so this window is closed after the test.
    visitor.page.add_init_script(f"PublicKeyCredential.isConditionalMediationAvailable = {available};")
    visitor.requests.clear()
    visitor.page.reload()
    expect_begun(visitor, 0)
    visitor.sign_up_with_stored_passkey()
    visitor.log_in_with_passkey()
    visitor.log_out()
    assert visitor.error_statuses == []
