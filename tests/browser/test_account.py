"""A user at the page: registration, each way to log in, passkeys, sessions and the access token."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.factories import PASSWORD
from tests.support.security_page import log_in_with_password

pytestmark = [pytest.mark.pages, pytest.mark.browser]


def test_user_registers_and_logs_in_with_each_method(visitor):
    visitor.register()
    visitor.press("Log in")
    visitor.expect_logged_in()
    expect(visitor.claim("amr")).to_contain_text('["pwd"]')
    expect(visitor.page.locator("#who")).to_have_text("Test Person")

    visitor.add_passkey()
    visitor.log_out()
    expect(visitor.page.locator("#who")).to_have_text("Not logged in")

    visitor.send_password()
    visitor.expect_heading("One more step")
    visitor.press("Use your passkey")
    visitor.expect_logged_in()
    expect(visitor.claim("amr")).to_contain_text('["pwd","hwk","user","mfa"]')
    # After the login the page no longer contains the password.
    assert PASSWORD not in visitor.page.content()
    fields = visitor.page.locator("input[type=password]")
    assert fields.evaluate_all("fields => fields.map(field => field.value)") == ["", "", ""]
    visitor.log_out()

    visitor.log_in_with_passkey()
    expect(visitor.claim("amr")).to_contain_text('["hwk","user","mfa"]')
    assert visitor.error_statuses == []


def test_wrong_password_is_sent_as_typed_and_reported(visitor):
    visitor.register()
    sent = []
    visitor.listen("request", lambda request: sent.append(request.post_data_json) if request.post_data else None)
    typed = "  \uff21 fullwidth letter, e\u0301 and spaces  "
    visitor.send_password(typed)
    alert = visitor.page.locator("#login-form .problem")
    expect(alert).to_have_role("alert")
    expect(alert).to_have_text("The e-mail address or the password is wrong. 401 invalid_credentials")
    assert sent == [{"email": visitor.email, "password": typed}]
    # The next request removes the previous message, which said that the user is registered.
    expect(visitor.status).to_be_empty()
    visitor.log_in()
    expect(alert).to_be_empty()
    assert visitor.error_statuses == [401]


def test_validation_error_is_shown_at_its_field(visitor):
    form = visitor.page.locator("#register-form")
    form.get_by_label("Job title").fill("Baker")
    visitor.press("Register")
    for label, message in {
        "Name": "Name must contain a letter.",
        "E-mail": "E-mail is not a valid e-mail address.",
        "Date of birth": "Date of birth must be a date such as 1980-04-14.",
    }.items():
        field = form.get_by_label(label)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(message)
    expect(form.get_by_label("Job title")).not_to_have_attribute("aria-invalid", "true")
    expect(form.get_by_label("Name")).to_be_focused()
    # The server has not validated the password yet.
    password = form.get_by_label("Password", exact=True)
    expect(password).to_have_attribute("aria-invalid", "true")
    expect(password).to_have_accessible_description(re.compile(r"Password is missing\.$"))

    for label, text in {"Name": "Ann", "E-mail": visitor.email, "Password": "too short"}.items():
        form.get_by_label(label, exact=True).fill(text)
    form.get_by_label("Date of birth").fill("1980-04-14")
    visitor.press("Register")
    expect(password).to_have_accessible_description(re.compile("15 .*Password .*15"))

    visitor.register()
    expect(form.get_by_label("Name")).to_have_accessible_description("")
    assert visitor.error_statuses == [422, 422]


def test_passkey_login_can_be_retried_and_abandoned(visitor):
    visitor.sign_up_with_stored_passkey()
    visitor.set_authenticator(verifies=False)
    visitor.press("Log in with a passkey alone")
    alert = visitor.page.locator("#passkey-login-form").get_by_role("alert")
    expect(alert).to_contain_text("The passkey was not used")
    failed = visitor.step("passkey-alone", "consent")
    expect(failed).to_have_attribute("data-state", "failed")
    expect(failed).to_contain_text("The passkey was not used")
    visitor.set_authenticator()
    visitor.log_in_with_passkey()
    visitor.log_out()

    visitor.set_authenticator(responds=False)
    # One ceremony waits for a touch, and another one replaces it.
    visitor.press("Log in with a passkey alone")
    expect(visitor.status).to_have_text("Your browser is asking you for a passkey.")
    for _ in range(2):
        visitor.send_password()
        expect(visitor.step("second-factor", "mfa")).to_have_attribute("data-state", "active")
        expect(visitor.page.locator("#passkey-login-form .problem")).to_be_empty()
        visitor.press("Start again")
        visitor.expect_heading("Log in")
    visitor.set_authenticator(responds=True)
    visitor.log_in_with_both()
    assert visitor.error_statuses == []


def test_double_click_on_login_sends_one_request(visitor):
    visitor.sign_up()
    visitor.page.locator("#login-email").fill(visitor.email)
    visitor.page.locator("#login-password").fill(PASSWORD)
    visitor.page.get_by_role("button", name="Log in", exact=True).dblclick()
    visitor.expect_logged_in()
    assert visitor.requests.count(f"{visitor.url}/login") == 1


def test_added_or_deleted_passkey_revokes_other_sessions(visitor, url):
    visitor.sign_up()
    log_in_with_password(url, visitor.email)
    visitor.log_in()
    sessions = visitor.sessions.locator("li")
    expect(sessions).to_have_count(2)
    visitor.add_passkey()
    expect(sessions).to_have_count(1)
    expect(visitor.sessions.get_by_text("this one")).to_be_visible()

    visitor.log_out()
    for _ in range(2):
        visitor.page.reload()
        visitor.log_in_with_passkey()
    expect(sessions).to_have_count(2)
    visitor.delete_passkey()
    visitor.expect_no_passkeys()
    expect(sessions).to_have_count(1)
    assert visitor.error_statuses == []


def test_access_token_is_explained_verified_and_refreshed(visitor, clock):
    clock.install()
    visitor.sign_up_and_log_in()
    claims = ("iss", "aud", "sub", "role", "iat", "nbf", "exp", "jti", "sid", "tv", "amr", "auth_time")
    for claim in claims:
        expect(visitor.page.locator(f'[data-claim="{claim}"] .meaning')).not_to_have_text(re.compile("does not know"))
    countdown = visitor.page.get_by_role("timer")
    expect(countdown).to_have_text(re.compile(r"^1[45]:\d\d$"))
    clock.fast_forward("05:00")
    expect(countdown).to_have_text(re.compile(r"^(9:\d\d|10:00)$"))

    visitor.press("Verify with the public key")
    expect(visitor.page.get_by_text("The signature is valid.")).to_be_visible()

    before = visitor.claim("jti").text_content()
    visitor.refresh_tokens()
    expect(visitor.claim("jti")).not_to_have_text(before)

    # An expired token is refreshed before the next request, and only once if two requests need it.
    clock.fast_forward("20:00")
    expect(countdown).to_have_text("0:00, expired")
    with visitor.page.expect_request("**/token/refresh"), visitor.page.expect_response("**/logout"):
        visitor.press("Log out")
    expect(visitor.status).to_have_text("You are logged out.")
    assert visitor.error_statuses == []


@pytest.mark.asvs("14.3.1")
@pytest.mark.threat("page-tokens-in-browser")
def test_logout_and_reload_leave_nothing_in_the_browser(visitor):
    visitor.sign_up_and_log_in()
    visitor.log_out()
    expect(visitor.page.locator("#token-parts")).to_be_empty()
    expect(visitor.page.locator("#me")).to_be_empty()
    assert visitor.page.locator("#login-password").input_value() == ""

    visitor.log_in()
    visitor.page.reload()
    expect(visitor.page.get_by_role("heading", name="Log in", exact=True)).to_be_visible()
    stored = visitor.page.evaluate("() => [localStorage.length, sessionStorage.length, document.cookie]")
    assert stored == [0, 0, ""]
    assert visitor.page.context.cookies() == []


def test_example_user_can_register(visitor):
    visitor.press("Fill in an example")
    visitor.page.get_by_label("Show the password").check()
    expect(visitor.page.locator("#register-password")).to_have_attribute("type", "text")
    visitor.email = visitor.page.locator("#register-email").input_value()
    visitor.press("Register")
    visitor.expect_button("Log in")
    visitor.press("Log in")
    visitor.expect_logged_in()


def test_page_at_an_ip_address_explains_passkeys_need_a_name(visitor, url):
    visitor.page.goto(url.replace("localhost", "127.0.0.1"))
    expect(visitor.page.get_by_text("Passkeys do not work on an IP address.")).to_be_visible()
    expect(visitor.page.get_by_role("button", name="Log in with a passkey alone")).to_be_disabled()
    visitor.page.get_by_role("link", name="localhost").click()
    visitor.page.wait_for_url(f"{url}/")
    expect(visitor.page.get_by_text("Passkeys do not work on an IP address.")).to_be_hidden()
    expect(visitor.page.get_by_role("button", name="Log in with a passkey alone")).to_be_enabled()
    visitor.requests.clear()
