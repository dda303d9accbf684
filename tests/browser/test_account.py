"""What a person does at the page: register, log in each way, manage passkeys and sessions."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.factories import PASSWORD
from tests.support.security_team import log_in_somewhere

pytestmark = [pytest.mark.pages, pytest.mark.browser]


def test_a_person_registers_and_logs_in_in_each_way(visitor):
    visitor.register()
    visitor.press("Log in")
    visitor.expect_to_be_in()
    expect(visitor.claim("amr")).to_contain_text('["pwd"]')
    expect(visitor.page.locator("#who")).to_have_text("Test Person")

    visitor.add_passkey()
    visitor.log_out()
    expect(visitor.page.locator("#who")).to_have_text("Nobody is logged in")

    visitor.give_password()
    visitor.expect_heading("One more step")
    visitor.press("Use your passkey")
    visitor.expect_to_be_in()
    expect(visitor.claim("amr")).to_contain_text('["pwd","hwk","user","mfa"]')
    # The password is nowhere in the page once it was used.
    assert PASSWORD not in visitor.page.content()
    fields = visitor.page.locator("input[type=password]")
    assert fields.evaluate_all("fields => fields.map(field => field.value)") == ["", "", ""]
    visitor.log_out()

    visitor.log_in_with_passkey()
    expect(visitor.claim("amr")).to_contain_text('["hwk","user","mfa"]')
    assert visitor.refusals == []


def test_wrong_password_is_sent_as_typed_and_reported_beside_its_field(visitor):
    visitor.register()
    sent = []
    visitor.listen("request", lambda request: sent.append(request.post_data_json) if request.post_data else None)
    typed = "  \uff21 fullwidth letter, e\u0301 and spaces  "
    visitor.give_password(typed)
    alert = visitor.page.locator("#login-form .problem")
    expect(alert).to_have_role("alert")
    expect(alert).to_have_text("The e-mail address or the password is wrong. 401 invalid_credentials")
    assert sent == [{"email": visitor.email, "password": typed}]
    # The previous message, that the person is registered, goes with the next request.
    expect(visitor.status).to_be_empty()
    visitor.log_in()
    expect(alert).to_be_empty()
    assert visitor.refusals == [401]


def test_each_fault_stands_beside_its_field_and_is_read_with_it(visitor):
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
    # The server has not looked at it yet.
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
    assert visitor.refusals == [422, 422]


def test_login_with_a_passkey_can_be_tried_again_and_given_up(visitor):
    visitor.enter_with_passkey()
    visitor.log_out()
    visitor.set_authenticator(verifies=False)
    visitor.press("Log in with a passkey alone")
    alert = visitor.page.locator("#passkey-login-form").get_by_role("alert")
    expect(alert).to_contain_text("Nothing came of it")
    failed = visitor.step("passkey-alone", "consent")
    expect(failed).to_have_attribute("data-state", "failed")
    expect(failed).to_contain_text("Nothing came of it")
    visitor.set_authenticator()
    visitor.log_in_with_passkey()
    visitor.log_out()

    visitor.set_authenticator(answers=False)
    # One ceremony waits for a touch, and another one takes its place.
    visitor.press("Log in with a passkey alone")
    expect(visitor.status).to_have_text("Your browser is asking you for a passkey.")
    for _ in range(2):
        visitor.give_password()
        expect(visitor.step("second-factor", "mfa")).to_have_attribute("data-state", "active")
        expect(visitor.page.locator("#passkey-login-form .problem")).to_be_empty()
        visitor.press("Start again")
        visitor.expect_heading("Log in")
    visitor.set_authenticator(answers=True)
    visitor.log_in_with_both()
    assert visitor.refusals == []


def test_a_form_that_is_sent_twice_makes_one_request(visitor):
    visitor.sign_up()
    visitor.page.locator("#login-email").fill(visitor.email)
    visitor.page.locator("#login-password").fill(PASSWORD)
    visitor.page.get_by_role("button", name="Log in", exact=True).dblclick()
    visitor.expect_to_be_in()
    assert visitor.requests.count(f"{visitor.url}/login") == 1


def test_a_person_ends_their_other_sessions(visit, url):
    here, there = visit(), visit()
    here.enter()
    there.email = here.email
    there.log_in()
    log_in_somewhere(url, here.email)
    here.page.reload()
    here.log_in()
    expect(here.sessions.locator("li")).to_have_count(4)
    expect(here.sessions.get_by_text("this one")).to_have_count(1)

    here.sessions.get_by_role("button").first.click()
    expect(here.status).to_have_text("The session has ended.")
    expect(here.sessions.locator("li")).to_have_count(3)
    here.press("End all others")
    expect(here.sessions.locator("li")).to_have_count(1)

    there.press("Log out")
    expect(there.status).to_have_text("This session has ended.")
    there.expect_heading("Log in")
    assert there.refusals == [401, 401]


def test_adding_and_deleting_a_passkey_end_the_other_sessions(visitor, url):
    visitor.sign_up()
    log_in_somewhere(url, visitor.email)
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
    assert visitor.refusals == []


def test_the_token_is_taken_apart_counted_down_checked_and_renewed(visitor, clock):
    clock.install()
    visitor.enter()
    claims = ("iss", "aud", "sub", "role", "iat", "nbf", "exp", "jti", "sid", "tv", "amr", "auth_time")
    for claim in claims:
        expect(visitor.page.locator(f'[data-claim="{claim}"] .meaning')).not_to_have_text(re.compile("does not know"))
    countdown = visitor.page.get_by_role("timer")
    expect(countdown).to_have_text(re.compile(r"^1[45]:\d\d$"))
    clock.fast_forward("05:00")
    expect(countdown).to_have_text(re.compile(r"^(9:\d\d|10:00)$"))

    visitor.press("Check it with the public key")
    expect(visitor.page.get_by_text("It is good: signed with the key")).to_be_visible()

    before = visitor.claim("jti").text_content()
    visitor.renew()
    expect(visitor.claim("jti")).not_to_have_text(before)

    # An expired token is renewed before the next request, and once for two that need it.
    clock.fast_forward("20:00")
    expect(countdown).to_have_text("0:00, expired")
    with visitor.page.expect_request("**/token/refresh"), visitor.page.expect_response("**/logout"):
        visitor.press("Log out")
    expect(visitor.status).to_have_text("You are logged out.")
    assert visitor.refusals == []


@pytest.mark.asvs("14.3.1")
@pytest.mark.threat("page-tokens-in-browser")
def test_logging_out_and_a_reload_forget_everything(visitor):
    visitor.enter()
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


def test_an_example_person_can_register(visitor):
    visitor.press("Fill in an example")
    visitor.page.get_by_label("Show the password").check()
    expect(visitor.page.locator("#register-password")).to_have_attribute("type", "text")
    visitor.email = visitor.page.locator("#register-email").input_value()
    visitor.press("Register")
    visitor.expect_button("Log in")
    visitor.press("Log in")
    visitor.expect_to_be_in()


def test_a_number_for_an_address_is_explained(visitor, url):
    visitor.page.goto(url.replace("localhost", "127.0.0.1"))
    expect(visitor.page.get_by_text("Passkeys need a name, not a number.")).to_be_visible()
    expect(visitor.page.get_by_role("button", name="Log in with a passkey alone")).to_be_disabled()
    visitor.page.get_by_role("link", name="localhost").click()
    visitor.page.wait_for_url(f"{url}/")
    expect(visitor.page.get_by_text("Passkeys need a name, not a number.")).to_be_hidden()
    expect(visitor.page.get_by_role("button", name="Log in with a passkey alone")).to_be_enabled()
    visitor.requests.clear()
