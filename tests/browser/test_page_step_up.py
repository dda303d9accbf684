"""Step-up at the page: when it asks for a proof of identity, which one, and what it sends to whom."""

import json
import re
import sqlite3
from contextlib import closing

import pytest
from playwright.sync_api import expect

from tests.support.accessibility import Keyboard, faults
from tests.support.browser import PHONE
from tests.support.factories import PASSWORD
from tests.support.security_team import log_in_somewhere

pytestmark = [pytest.mark.pages, pytest.mark.sessions, pytest.mark.browser]


@pytest.fixture
def let_step_ups_expire(data_dir):
    """Let each step-up token expire at the service. The page does not know."""

    def let_step_ups_expire():
        (file,) = data_dir.glob("*.sqlite3")
        with closing(sqlite3.connect(file, timeout=30)) as connection, connection:
            connection.execute("UPDATE sessions SET step_up_expires_at = '2020-01-01 00:00:00.000000'")

    return let_step_ups_expire


class Sent:
    """Requests of the page, by whether they carried a step-up token."""

    def __init__(self, visitor):
        self._url, self.with_token, self.without_token = visitor.url, [], []
        visitor.listen("request", self._note)

    def _note(self, request):
        if request.resource_type == "fetch":
            requests = self.with_token if request.headers.get("step-up-token") else self.without_token
            requests.append(f"{request.method} {request.url.removeprefix(self._url)}")


def dialog(visitor):
    """Return the dialog that asks for a proof."""
    return visitor.page.get_by_role("dialog", name="Confirm that it is you")


def offers(visitor):
    """Return what the dialog offers, besides to cancel."""
    expect(dialog(visitor)).to_be_visible()
    names = dialog(visitor).get_by_role("button").all_text_contents()
    return [name.removeprefix("Confirm with ") for name in names if name != "Cancel"]


def give_password(visitor, password=PASSWORD):
    """Confirm with a password."""
    dialog(visitor).get_by_label("Your password").fill(password)
    visitor.press("Confirm with the password")


def ask_for_passkey(visitor, name="Phone"):
    """Ask to add a passkey, which takes a proof."""
    visitor.page.get_by_label("Name of a new passkey").fill(name)
    visitor.press("Add a passkey")


@pytest.mark.asvs("7.5.1")
def test_a_first_passkey_right_after_the_login_is_added_without_a_question(visitor):
    sent = Sent(visitor)
    visitor.enter()
    visitor.renew()
    visitor.add_passkey()
    expect(dialog(visitor)).to_be_hidden()
    visitor.log_out()
    assert sent.with_token == ["POST /webauthn/register/begin"]
    assert {"POST /token/refresh", "POST /webauthn/register/complete", "GET /sessions", "POST /logout"} <= set(
        sent.without_token
    )
    assert visitor.refusals == []


def test_expired_step_up_token_is_not_sent_and_the_password_replaces_it(visitor, clock):
    clock.install()
    visitor.enter()
    clock.fast_forward("10:01")
    sent = Sent(visitor)
    visitor.press("Add a passkey")
    assert offers(visitor) == ["the password"]
    expect(dialog(visitor)).to_have_accessible_description("Changing this takes a proof that it is you: your password.")
    expect(dialog(visitor).get_by_label("Your password")).to_be_focused()
    give_password(visitor)
    expect(visitor.status).to_have_text("The passkey “Passkey” is registered.")
    expect(dialog(visitor)).to_be_hidden()
    assert sent.without_token[:2] == ["POST /webauthn/register/begin", "POST /step-up"]
    assert sent.with_token == ["POST /webauthn/register/begin"]
    assert PASSWORD not in visitor.page.content()
    assert visitor.page.locator("#step-up-password").input_value() == ""
    assert visitor.refusals == [403]


def test_rejected_step_up_token_is_replaced_and_a_wrong_password_can_be_corrected(visitor, let_step_ups_expire):
    visitor.enter()
    let_step_ups_expire()
    ask_for_passkey(visitor)
    visitor.press("Confirm with the password")
    expect(dialog(visitor).get_by_label("Your password")).to_have_accessible_description("Your password is missing.")
    give_password(visitor, "not the right password")
    expect(dialog(visitor).get_by_role("alert")).to_contain_text("400 invalid_current_password")
    give_password(visitor)
    expect(visitor.status).to_have_text("The passkey “Phone” is registered.")
    assert visitor.refusals == [403, 400]


def test_a_second_passkey_takes_the_first_one(visitor):
    visitor.enter_with_passkey()
    ask_for_passkey(visitor)
    assert offers(visitor) == ["a passkey"]
    expect(dialog(visitor).get_by_label("Your password")).to_be_hidden()

    def become_another_device(route):
        visitor.forget_passkeys()
        route.continue_()

    visitor.page.route("**/webauthn/register/begin", become_another_device)
    visitor.press("Confirm with a passkey")
    expect(visitor.status).to_have_text("The passkey “Phone” is registered.")
    expect(visitor.passkeys.locator("li")).to_have_count(2)
    visitor.expect_button("Add a passkey")
    assert visitor.refusals == [403]


def test_passkey_is_renamed_and_deleted_with_a_proof_by_passkey(visitor):
    visitor.enter_with_passkey()
    visitor.press("Rename Laptop")
    new_name = visitor.page.get_by_label("New name")
    expect(new_name).to_be_focused()
    new_name.fill("\N{ZERO WIDTH SPACE}")
    visitor.press("Save")
    expect(new_name).to_have_accessible_description("New name contains characters that are not allowed.")
    new_name.fill("<b>Desk</b>")
    visitor.press("Save")
    assert offers(visitor) == ["a passkey"]
    visitor.press("Confirm with a passkey")
    expect(visitor.passkeys.get_by_text("<b>Desk</b>")).to_be_visible()

    # A deletion takes a second step, which says what it does.
    before = len(visitor.requests)
    visitor.press("Delete <b>Desk</b>")
    group = visitor.passkeys.get_by_role("group")
    expect(group).to_have_accessible_name(re.compile("Delete “<b>Desk</b>”.*logged out everywhere else"))
    visitor.expect_button("Keep")
    visitor.press("Keep")
    expect(group).to_have_count(0)
    visitor.expect_button("Delete <b>Desk</b>")
    assert len(visitor.requests) == before
    # A new name does not use the step-up token up.
    visitor.delete_passkey("<b>Desk</b>")
    visitor.expect_no_passkeys()
    visitor.expect_heading("Passkeys")
    expect(visitor.status).to_contain_text("The passkey “<b>Desk</b>” is deleted.")
    # The deletion does.
    visitor.press("Add a passkey")
    assert offers(visitor) == ["the password"]
    visitor.press("Cancel")
    assert visitor.refusals == [422, 403, 403]


@pytest.mark.asvs("7.5.2")
def test_a_user_without_a_passkey_revokes_sessions_with_the_password(visitor, url, let_step_ups_expire):
    visitor.enter()
    log_in_somewhere(url, visitor.email)
    log_in_somewhere(url, visitor.email)
    visitor.page.reload()
    visitor.log_in()
    expect(visitor.sessions.locator("li")).to_have_count(4)
    let_step_ups_expire()
    visitor.sessions.get_by_role("button").first.click()
    assert offers(visitor) == ["the password"]
    give_password(visitor)
    expect(visitor.status).to_have_text("The session has ended.")
    expect(visitor.sessions.locator("li")).to_have_count(3)
    visitor.press("End all others")
    expect(visitor.sessions.locator("li")).to_have_count(1)
    assert visitor.refusals == [403]


def test_an_account_with_a_passkey_is_offered_the_password_for_revoking_sessions_only(visitor, url):
    visitor.enter_with_passkey()
    sent = Sent(visitor)
    visitor.press("End all others")
    assert offers(visitor) == ["the password", "a passkey"]
    visitor.expect_button("Confirm with a passkey")
    give_password(visitor)
    expect(visitor.status).to_have_text("All other sessions have ended.")

    visitor.delete_passkey()
    assert offers(visitor) == ["a passkey"]
    visitor.press("Confirm with a passkey")
    visitor.expect_no_passkeys()
    assert sent.with_token[0] == "DELETE /sessions?keep_current=true"
    assert visitor.refusals == [403, 403]


def test_five_wrong_passwords_end_the_login(visitor, let_step_ups_expire):
    visitor.enter()
    let_step_ups_expire()
    visitor.press("End all others")
    for _ in range(5):
        give_password(visitor, "not the right password")
        expect(dialog(visitor).get_by_role("alert")).to_contain_text("400 invalid_current_password")
    give_password(visitor)
    expect(visitor.status).to_have_text("This session has ended.")
    expect(dialog(visitor)).to_be_hidden()
    visitor.expect_heading("Log in")
    visitor.log_in()


def test_cancelled_or_failed_step_up_changes_nothing_and_can_be_tried_again(visitor):
    visitor.enter_with_passkey()
    visitor.delete_passkey()
    for cancel in (lambda: visitor.press("Cancel"), lambda: visitor.page.keyboard.press("Escape")):
        expect(dialog(visitor)).to_be_visible()
        before = len(visitor.requests)
        cancel()
        expect(dialog(visitor)).to_be_hidden()
        visitor.expect_button("Delete for good")
        assert len(visitor.requests) == before
        visitor.press("Delete for good")
    visitor.page.evaluate(
        "() => { navigator.credentials.get = () => Promise.reject(new DOMException('', 'NotAllowedError')); }"
    )
    visitor.press("Confirm with a passkey")
    expect(dialog(visitor).get_by_role("alert")).to_contain_text("Nothing came of it")
    visitor.page.evaluate("() => { delete navigator.credentials.get; }")
    visitor.press("Confirm with a passkey")
    visitor.expect_no_passkeys()
    assert visitor.refusals == [403, 403, 403]


def test_a_passkey_that_is_not_enough_alone_is_sent_with_the_password(visitor):
    visitor.enter_with_passkey()
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
    assert offers(visitor) == ["a passkey"]
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
    # The diagram shows it without the password.
    assert PASSWORD not in visitor.page.content()


@pytest.mark.parametrize("methods", [[], ["fingerprint_of_tomorrow"], None])
def test_a_step_up_by_methods_that_the_page_does_not_know_is_reported(visitor, methods):
    visitor.enter()
    document = {"code": "step_up_required", "detail": "Prove your identity.", "methods": methods}
    visitor.page.route("**/sessions?keep_current=true", lambda route: route.fulfill(status=403, json=document))
    visitor.press("End all others")
    expect(visitor.page.locator("#sessions-problem")).to_contain_text("403 step_up_required")
    expect(dialog(visitor)).to_be_hidden()


def test_a_step_up_is_shown_as_it_was_and_forgotten_at_the_logout(visitor):
    visitor.enter_with_passkey()
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


def test_a_teacher_can_stop_after_each_message_of_a_step_up(visitor):
    visitor.enter_with_passkey()
    visitor.page.get_by_label("Stop after each message").check()
    visitor.delete_passkey()
    visitor.press("Confirm with a passkey")
    for step in visitor.page.locator("#flow-step-up .step").all():
        expect(step).to_have_attribute("aria-current", "step")
        visitor.press("Next message")
    visitor.expect_no_passkeys()


def test_no_state_of_the_dialog_has_a_fault(visitor, let_step_ups_expire):
    visitor.enter()
    let_step_ups_expire()
    visitor.press("Add a passkey")
    expect(dialog(visitor)).to_be_visible()
    assert faults(visitor) == []
    give_password(visitor, "not the right password")
    expect(dialog(visitor).get_by_role("alert")).to_contain_text("400")
    assert faults(visitor) == []
    give_password(visitor)
    expect(visitor.status).to_have_text("The passkey “Passkey” is registered.")
    visitor.press("End all others")
    assert offers(visitor) == ["the password", "a passkey"]
    assert faults(visitor) == []
    visitor.press("Cancel")
    visitor.delete_passkey("Passkey")
    expect(dialog(visitor)).to_be_visible()
    assert faults(visitor) == []


def test_step_up_takes_only_a_keyboard_and_fits_on_a_phone(visit):
    """On a phone the result is shown beside the button, because the status line is out of sight."""
    visitor = visit(viewport=PHONE)
    page, keyboard = visitor.page, Keyboard(visitor.page)
    visitor.enter_with_passkey()
    words = page.locator(".words")
    expect(visitor.status).not_to_be_in_viewport()
    expect(page.locator("#passkey-form .words")).to_have_text("The passkey “Laptop” is registered.")
    expect(words).to_be_in_viewport()
    keyboard.press("End all others")
    visitor.expect_button("Confirm with a passkey")
    for button in ("Confirm with a passkey", "Cancel"):
        expect(page.get_by_role("button", name=button)).to_be_in_viewport(ratio=1)
    keyboard.write(dialog(visitor).get_by_label("Your password"), PASSWORD)
    page.keyboard.press("Enter")
    expect(visitor.status).to_have_text("All other sessions have ended.")
    visitor.expect_button("End all others")
    visitor.delete_passkey()
    visitor.press("Confirm with a passkey")
    expect(words).to_contain_text("delete it there too")
    expect(words).to_be_in_viewport()
    visitor.log_out()
    expect(words).to_have_count(0)
