"""Step-up at the page: when the page asks for a proof of identity, which proofs it offers, which tokens it sends."""

import json
import re
import sqlite3
from contextlib import closing

import pytest
from playwright.sync_api import expect

from tests.support.accessibility import Keyboard, accessibility_violations
from tests.support.browser import PHONE
from tests.support.factories import PASSWORD
from tests.support.security_page import log_in_with_password

pytestmark = [pytest.mark.pages, pytest.mark.sessions, pytest.mark.browser]


@pytest.fixture
def expire_step_ups(data_dir):
    """A function that makes every step-up token expired in the database. The page cannot know that."""

    def expire():
        (file,) = data_dir.glob("*.sqlite3")
        with closing(sqlite3.connect(file, timeout=30)) as connection, connection:
            connection.execute("UPDATE sessions SET step_up_expires_at = '2020-01-01 00:00:00.000000'")

    return expire


class SentRequests:
    """The requests of the page, separated by whether they contained a step-up token."""

    def __init__(self, visitor):
        self._url, self.with_token, self.without_token = visitor.url, [], []
        visitor.listen("request", self._note)

    def _note(self, request):
        if request.resource_type == "fetch":
            requests = self.with_token if request.headers.get("step-up-token") else self.without_token
            requests.append(f"{request.method} {request.url.removeprefix(self._url)}")


def dialog(visitor):
    """Return the dialog that asks for a proof of identity."""
    return visitor.page.get_by_role("dialog", name="Confirm that it is you")


def offered_proofs(visitor):
    """Return the proofs that the dialog offers: "the password", "a passkey" or both."""
    expect(dialog(visitor)).to_be_visible()
    names = dialog(visitor).get_by_role("button").all_text_contents()
    return [name.removeprefix("Confirm with ") for name in names if name != "Cancel"]


def confirm_with_password(visitor, password=PASSWORD):
    """Enter a password in the dialog, and confirm."""
    dialog(visitor).get_by_label("Your password").fill(password)
    visitor.press("Confirm with the password")


def request_passkey(visitor, name="Phone"):
    """Start to add a passkey, which requires a step-up."""
    visitor.page.get_by_label("Name of a new passkey").fill(name)
    visitor.press("Add a passkey")


@pytest.mark.asvs("7.5.1")
def test_first_passkey_after_the_login_needs_no_further_proof(visitor):
    sent = SentRequests(visitor)
    visitor.sign_up_and_log_in()
    visitor.refresh_tokens()
    visitor.add_passkey()
    expect(dialog(visitor)).to_be_hidden()
    visitor.log_out()
    assert sent.with_token == ["POST /webauthn/register/begin"]
    assert {"POST /token/refresh", "POST /webauthn/register/complete", "GET /sessions", "POST /logout"} <= set(
        sent.without_token
    )
    assert visitor.error_statuses == []


def test_expired_step_up_token_is_not_sent_but_replaced(visitor, clock):
    clock.install()
    visitor.sign_up_and_log_in()
    clock.fast_forward("10:01")
    sent = SentRequests(visitor)
    visitor.press("Add a passkey")
    assert offered_proofs(visitor) == ["the password"]
    expect(dialog(visitor)).to_have_accessible_description("To change this, confirm your identity with your password.")
    expect(dialog(visitor).get_by_label("Your password")).to_be_focused()
    confirm_with_password(visitor)
    expect(visitor.status).to_have_text("The passkey “Passkey” is registered.")
    expect(dialog(visitor)).to_be_hidden()
    assert sent.without_token[:2] == ["POST /webauthn/register/begin", "POST /step-up"]
    assert sent.with_token == ["POST /webauthn/register/begin"]
    assert PASSWORD not in visitor.page.content()
    assert visitor.page.locator("#step-up-password").input_value() == ""
    assert visitor.error_statuses == [403]


def test_rejected_step_up_token_is_replaced_after_a_wrong_password(visitor, expire_step_ups):
    visitor.sign_up_and_log_in()
    expire_step_ups()
    request_passkey(visitor)
    visitor.press("Confirm with the password")
    expect(dialog(visitor).get_by_label("Your password")).to_have_accessible_description("Your password is missing.")
    confirm_with_password(visitor, "not the right password")
    expect(dialog(visitor).get_by_role("alert")).to_contain_text("400 invalid_current_password")
    confirm_with_password(visitor)
    expect(visitor.status).to_have_text("The passkey “Phone” is registered.")
    assert visitor.error_statuses == [403, 400]


def test_second_passkey_needs_a_proof_with_the_first(visitor):
    visitor.sign_up_with_passkey()
    request_passkey(visitor)
    assert offered_proofs(visitor) == ["a passkey"]
    expect(dialog(visitor).get_by_label("Your password")).to_be_hidden()

    def become_another_device(route):
        visitor.forget_passkeys()
        route.continue_()

    visitor.page.route("**/webauthn/register/begin", become_another_device)
    visitor.press("Confirm with a passkey")
    expect(visitor.status).to_have_text("The passkey “Phone” is registered.")
    expect(visitor.passkeys.locator("li")).to_have_count(2)
    visitor.expect_button("Add a passkey")
    assert visitor.error_statuses == [403]


def test_passkey_is_renamed_and_deleted_after_a_passkey_proof(visitor):
    visitor.sign_up_with_passkey()
    visitor.press("Rename Laptop")
    new_name = visitor.page.get_by_label("New name")
    expect(new_name).to_be_focused()
    new_name.fill("\N{ZERO WIDTH SPACE}")
    visitor.press("Save")
    expect(new_name).to_have_accessible_description("New name contains characters that are not allowed.")
    new_name.fill("<b>Desk</b>")
    visitor.press("Save")
    assert offered_proofs(visitor) == ["a passkey"]
    visitor.press("Confirm with a passkey")
    expect(visitor.passkeys.get_by_text("<b>Desk</b>")).to_be_visible()

    # A deletion needs a confirmation, which describes the consequences.
    before = len(visitor.requests)
    visitor.press("Delete <b>Desk</b>")
    group = visitor.passkeys.get_by_role("group")
    expect(group).to_have_accessible_name(re.compile("Delete “<b>Desk</b>”.*other sessions are revoked"))
    visitor.expect_button("Keep")
    visitor.press("Keep")
    expect(group).to_have_count(0)
    visitor.expect_button("Delete <b>Desk</b>")
    assert len(visitor.requests) == before
    # Renaming does not use up the step-up token, so the deletion needs no second proof.
    visitor.delete_passkey("<b>Desk</b>")
    visitor.expect_no_passkeys()
    visitor.expect_heading("Passkeys")
    expect(visitor.status).to_contain_text("The passkey “<b>Desk</b>” is deleted.")
    # The deletion has used up the step-up token.
    visitor.press("Add a passkey")
    assert offered_proofs(visitor) == ["the password"]
    visitor.press("Cancel")
    assert visitor.error_statuses == [422, 403, 403]


@pytest.mark.asvs("7.5.2")
def test_user_without_a_passkey_revokes_sessions_by_password(visit, url, expire_step_ups):
    visitor, other_device = visit(), visit()
    visitor.sign_up_and_log_in()
    other_device.email = visitor.email
    other_device.log_in()
    log_in_with_password(url, visitor.email)
    visitor.page.reload()
    visitor.log_in()
    expect(visitor.sessions.locator("li")).to_have_count(4)
    expect(visitor.sessions.get_by_text("this one")).to_have_count(1)
    expire_step_ups()
    visitor.sessions.get_by_role("button").first.click()
    assert offered_proofs(visitor) == ["the password"]
    confirm_with_password(visitor)
    expect(visitor.status).to_have_text("The session is revoked.")
    expect(visitor.sessions.locator("li")).to_have_count(3)
    visitor.press("Revoke all others")
    expect(visitor.sessions.locator("li")).to_have_count(1)
    assert visitor.error_statuses == [403]

    other_device.press("Log out")
    expect(other_device.status).to_have_text("Your session has expired or was revoked. Log in again.")
    other_device.expect_heading("Log in")
    assert other_device.error_statuses == [401, 401]


def test_password_proof_despite_a_passkey_only_revokes_sessions(visitor, url):
    visitor.sign_up_with_passkey()
    sent = SentRequests(visitor)
    visitor.press("Revoke all others")
    assert offered_proofs(visitor) == ["the password", "a passkey"]
    visitor.expect_button("Confirm with a passkey")
    confirm_with_password(visitor)
    expect(visitor.status).to_have_text("All other sessions are revoked.")

    visitor.delete_passkey()
    assert offered_proofs(visitor) == ["a passkey"]
    visitor.press("Confirm with a passkey")
    visitor.expect_no_passkeys()
    assert sent.with_token[0] == "DELETE /sessions?keep_current=true"
    assert visitor.error_statuses == [403, 403]


def test_five_wrong_step_up_passwords_end_the_session(visitor, expire_step_ups):
    visitor.sign_up_and_log_in()
    expire_step_ups()
    visitor.press("Revoke all others")
    for _ in range(5):
        confirm_with_password(visitor, "not the right password")
        expect(dialog(visitor).get_by_role("alert")).to_contain_text("400 invalid_current_password")
    confirm_with_password(visitor)
    expect(visitor.status).to_have_text("Your session has expired or was revoked. Log in again.")
    expect(dialog(visitor)).to_be_hidden()
    visitor.expect_heading("Log in")
    visitor.log_in()


def test_cancelled_or_failed_step_up_can_be_retried(visitor):
    visitor.sign_up_with_passkey()
    visitor.delete_passkey()
    for cancel in (lambda: visitor.press("Cancel"), lambda: visitor.page.keyboard.press("Escape")):
        expect(dialog(visitor)).to_be_visible()
        before = len(visitor.requests)
        cancel()
        expect(dialog(visitor)).to_be_hidden()
        visitor.expect_button("Delete permanently")
        assert len(visitor.requests) == before
        visitor.press("Delete permanently")
    visitor.page.evaluate(
        "() => { navigator.credentials.get = () => Promise.reject(new DOMException('', 'NotAllowedError')); }"
    )
    visitor.press("Confirm with a passkey")
    expect(dialog(visitor).get_by_role("alert")).to_contain_text("The passkey was not used")
    visitor.page.evaluate("() => { delete navigator.credentials.get; }")
    visitor.press("Confirm with a passkey")
    visitor.expect_no_passkeys()
    assert visitor.error_statuses == [403, 403, 403]


def test_passkey_that_needs_a_password_is_sent_with_it(visitor):
    visitor.sign_up_with_passkey()
    bodies = []

    def want_the_password(route):
        bodies.append(json.loads(route.request.post_data))
        if len(bodies) == 2:
            route.fulfill(status=400, json={"code": "password_required", "detail": "This passkey is not enough alone."})
        else:
            route.continue_()

    visitor.page.route("**/step-up", want_the_password)
    visitor.delete_passkey()
    visitor.press("Confirm with a passkey")
    expect(dialog(visitor).get_by_role("alert")).to_contain_text("400 password_required")
    assert offered_proofs(visitor) == ["a passkey"]
    dialog(visitor).get_by_label("Your password").fill(PASSWORD)
    visitor.page.keyboard.press("Enter")
    visitor.expect_no_passkeys()
    assert [body.keys() for body in bodies] == [
        set(),
        {"challenge_id", "credential"},
        set(),
        {"challenge_id", "credential", "current_password"},
    ]
    assert bodies[1]["challenge_id"] != bodies[3]["challenge_id"]
    # The diagram shows the request without the password.
    assert PASSWORD not in visitor.page.content()


@pytest.mark.parametrize("methods", [[], ["fingerprint_of_tomorrow"], None])
def test_step_up_with_unknown_methods_is_reported(visitor, methods):
    visitor.sign_up_and_log_in()
    document = {"code": "step_up_required", "detail": "Prove your identity.", "methods": methods}
    visitor.page.route("**/sessions?keep_current=true", lambda route: route.fulfill(status=403, json=document))
    visitor.press("Revoke all others")
    expect(visitor.page.locator("#sessions-problem")).to_contain_text("403 step_up_required")
    expect(dialog(visitor)).to_be_hidden()


def test_step_up_messages_are_shown_until_the_logout(visitor):
    visitor.sign_up_with_passkey()
    with visitor.page.expect_response(lambda response: "step_up_token" in response.text()) as response:
        visitor.delete_passkey()
        visitor.press("Confirm with a passkey")
    visitor.expect_no_passkeys()
    token = response.value.json()["step_up_token"]
    steps = visitor.page.locator("#flow-step-up .step")
    assert set(steps.evaluate_all("steps => steps.map(step => step.dataset.state)")) == {"done"}
    expect(visitor.step("step-up", "refused")).to_be_visible()
    assert json.loads(visitor.step("step-up", "tokens").locator("pre").text_content()) == response.value.json()
    assert "step_up_required" in visitor.step("step-up", "refused").locator("pre").text_content()
    visitor.log_out()
    assert token not in visitor.page.content()


def test_step_up_diagram_can_stop_after_each_message(visitor):
    visitor.sign_up_with_passkey()
    visitor.page.get_by_label("Stop after each message").check()
    visitor.delete_passkey()
    visitor.press("Confirm with a passkey")
    for step in visitor.page.locator("#flow-step-up .step").all():
        expect(step).to_have_attribute("aria-current", "step")
        visitor.press("Next message")
    visitor.expect_no_passkeys()


def test_step_up_dialog_is_accessible_in_each_state(visitor, expire_step_ups):
    visitor.sign_up_and_log_in()
    expire_step_ups()
    visitor.press("Add a passkey")
    expect(dialog(visitor)).to_be_visible()
    assert accessibility_violations(visitor) == []
    confirm_with_password(visitor, "not the right password")
    expect(dialog(visitor).get_by_role("alert")).to_contain_text("400")
    assert accessibility_violations(visitor) == []
    confirm_with_password(visitor)
    expect(visitor.status).to_have_text("The passkey “Passkey” is registered.")
    visitor.press("Revoke all others")
    assert offered_proofs(visitor) == ["the password", "a passkey"]
    assert accessibility_violations(visitor) == []
    visitor.press("Cancel")
    visitor.delete_passkey("Passkey")
    expect(dialog(visitor)).to_be_visible()
    assert accessibility_violations(visitor) == []


def test_step_up_on_a_phone_works_with_a_keyboard(visit):
    """On a phone the result is shown next to the button, because the status line is not visible there."""
    visitor = visit(viewport=PHONE)
    page, keyboard = visitor.page, Keyboard(visitor.page)
    visitor.sign_up_with_passkey()
    words = page.locator(".words")
    expect(visitor.status).not_to_be_in_viewport()
    expect(page.locator("#passkey-form .words")).to_have_text("The passkey “Laptop” is registered.")
    expect(words).to_be_in_viewport()
    keyboard.press("Revoke all others")
    visitor.expect_button("Confirm with a passkey")
    for button in ("Confirm with a passkey", "Cancel"):
        expect(page.get_by_role("button", name=button)).to_be_in_viewport(ratio=1)
    keyboard.type(dialog(visitor).get_by_label("Your password"), PASSWORD)
    page.keyboard.press("Enter")
    expect(visitor.status).to_have_text("All other sessions are revoked.")
    visitor.expect_button("Revoke all others")
    visitor.delete_passkey()
    visitor.press("Confirm with a passkey")
    expect(words).to_contain_text("delete it there too")
    expect(words).to_be_in_viewport()
    visitor.log_out()
    expect(words).to_have_count(0)
