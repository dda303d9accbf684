"""Step-up at the page: when it asks for a proof of identity, which one, and what it sends to whom."""

import json
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
    """Requests of the page, with the step-up token that each of them carried."""

    def __init__(self, visitor):
        self._url = visitor.url
        self.requests = []
        visitor.listen("request", self._note)

    def _note(self, request):
        if request.resource_type == "fetch":
            self.requests.append(
                (f"{request.method} {request.url.removeprefix(self._url)}", request.headers.get("step-up-token"))
            )

    def with_token(self):
        """Return the requests that carried a step-up token."""
        return [request for request, token in self.requests if token]

    def without_token(self):
        """Return the others."""
        return [request for request, token in self.requests if not token]


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


# --- When it asks -----------------------------------------------------------------------------------------------------


@pytest.mark.asvs("7.5.1")
def test_a_first_passkey_right_after_the_login_is_added_without_a_question(visitor):
    sent = Sent(visitor)
    visitor.enter()
    visitor.press("Renew with the refresh token")
    expect(visitor.status).to_have_text("The refresh token was exchanged for a new pair.")
    visitor.add_passkey()
    expect(dialog(visitor)).to_be_hidden()
    visitor.log_out()
    assert sent.with_token() == ["POST /webauthn/register/begin"]
    assert {"POST /token/refresh", "POST /webauthn/register/complete", "GET /sessions", "POST /logout"} <= set(
        sent.without_token()
    )
    assert visitor.refusals == []


def test_an_expired_step_up_token_is_not_sent_and_the_password_replaces_it(visitor, clock):
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
    assert sent.without_token()[:2] == ["POST /webauthn/register/begin", "POST /step-up"]
    assert sent.with_token() == ["POST /webauthn/register/begin"]
    assert PASSWORD not in visitor.page.content()
    assert visitor.page.locator("#step-up-password").input_value() == ""
    assert visitor.refusals == [403]


def test_a_step_up_token_that_the_service_rejects_is_replaced(visitor, let_step_ups_expire):
    visitor.enter()
    let_step_ups_expire()
    visitor.page.get_by_label("Name of a new passkey").fill("Phone")
    visitor.press("Add a passkey")
    give_password(visitor)
    expect(visitor.status).to_have_text("The passkey “Phone” is registered.")
    assert visitor.refusals == [403]


def test_a_second_passkey_takes_the_first_one(visitor):
    visitor.enter()
    visitor.add_passkey()
    visitor.page.get_by_label("Name of a new passkey").fill("Phone")
    visitor.press("Add a passkey")
    assert offers(visitor) == ["a passkey"]
    expect(dialog(visitor).get_by_label("Your password")).to_be_hidden()

    def become_another_device(route):
        visitor.forget_passkeys()
        route.continue_()

    visitor.page.route("**/webauthn/register/begin", become_another_device)
    visitor.press("Confirm with a passkey")
    expect(visitor.status).to_have_text("The passkey “Phone” is registered.")
    expect(visitor.passkeys.locator("li")).to_have_count(2)
    expect(visitor.page.get_by_role("button", name="Add a passkey")).to_be_focused()
    assert visitor.refusals == [403]


def test_a_passkey_is_renamed_and_deleted_with_a_proof_by_passkey(visitor):
    visitor.enter()
    visitor.add_passkey()
    visitor.press("Rename Laptop")
    visitor.page.get_by_label("New name").fill("Desk")
    visitor.press("Save")
    assert offers(visitor) == ["a passkey"]
    visitor.press("Confirm with a passkey")
    expect(visitor.passkeys.get_by_text("Desk")).to_be_visible()
    # A new name does not use the step-up token up.
    visitor.delete_passkey("Desk")
    expect(visitor.passkeys).to_have_text("There is none yet.")
    expect(visitor.page.get_by_role("heading", name="Passkeys", exact=True)).to_be_focused()
    # The deletion does.
    visitor.press("Add a passkey")
    assert offers(visitor) == ["the password"]
    visitor.press("Cancel")
    assert visitor.refusals == [403, 403]


@pytest.mark.asvs("7.5.2")
def test_a_user_without_a_passkey_revokes_sessions_with_the_password(visitor, url, let_step_ups_expire):
    visitor.enter()
    log_in_somewhere(url, visitor.email)
    log_in_somewhere(url, visitor.email)
    visitor.page.reload()
    visitor.give_password()
    visitor.expect_to_be_in()
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
    visitor.enter()
    visitor.add_passkey()
    sent = Sent(visitor)
    visitor.press("End all others")
    assert offers(visitor) == ["the password", "a passkey"]
    expect(visitor.page.get_by_role("button", name="Confirm with a passkey")).to_be_focused()
    give_password(visitor)
    expect(visitor.status).to_have_text("All other sessions have ended.")

    visitor.delete_passkey()
    assert offers(visitor) == ["a passkey"]
    visitor.press("Confirm with a passkey")
    expect(visitor.passkeys).to_have_text("There is none yet.")
    assert sent.with_token()[0] == "DELETE /sessions?keep_current=true"
    assert visitor.refusals == [403, 403]


# --- What goes wrong --------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_said_in_the_dialog_and_can_be_corrected(visitor, let_step_ups_expire):
    visitor.enter()
    let_step_ups_expire()
    visitor.press("End all others")
    visitor.press("Confirm with the password")
    expect(dialog(visitor).get_by_label("Your password")).to_have_accessible_description("Your password is missing.")
    give_password(visitor, "not the right password")
    expect(dialog(visitor).get_by_role("alert")).to_contain_text("400 invalid_current_password")
    give_password(visitor)
    expect(visitor.status).to_have_text("All other sessions have ended.")
    assert visitor.refusals == [403, 400]


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
    expect(visitor.page.get_by_role("heading", name="Log in", exact=True)).to_be_focused()
    visitor.give_password()
    visitor.expect_to_be_in()


@pytest.mark.parametrize("way", ["Cancel", "Escape"])
def test_a_step_up_that_is_cancelled_leaves_everything_as_it_was(visitor, way):
    visitor.enter()
    visitor.add_passkey()
    visitor.delete_passkey()
    expect(dialog(visitor)).to_be_visible()
    before = len(visitor.requests)
    if way == "Cancel":
        visitor.press("Cancel")
    else:
        visitor.page.keyboard.press("Escape")
    expect(dialog(visitor)).to_be_hidden()
    expect(visitor.page.get_by_role("button", name="Delete for good")).to_be_focused()
    assert len(visitor.requests) == before
    # And it can be begun again.
    visitor.press("Delete for good")
    visitor.press("Confirm with a passkey")
    expect(visitor.passkeys).to_have_text("There is none yet.")
    assert visitor.refusals == [403, 403]


def test_a_passkey_that_fails_can_be_tried_again(visitor):
    visitor.enter()
    visitor.add_passkey()
    visitor.delete_passkey()
    visitor.page.evaluate(
        "() => { navigator.credentials.get = () => Promise.reject(new DOMException('', 'NotAllowedError')); }"
    )
    visitor.press("Confirm with a passkey")
    expect(dialog(visitor).get_by_role("alert")).to_contain_text("Nothing came of it")
    visitor.page.evaluate("() => { delete navigator.credentials.get; }")
    visitor.press("Confirm with a passkey")
    expect(visitor.passkeys).to_have_text("There is none yet.")
    assert visitor.refusals == [403]


def test_a_passkey_that_is_not_enough_alone_is_sent_with_the_password(visitor):
    visitor.enter()
    visitor.add_passkey()
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
    expect(visitor.passkeys).to_have_text("There is none yet.")
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


# --- What is seen -----------------------------------------------------------------------------------------------------


def test_a_step_up_is_shown_as_it_was_and_forgotten_at_the_logout(visitor):
    visitor.enter()
    visitor.add_passkey()
    with visitor.page.expect_response(lambda response: "step_up_token" in response.text()) as response:
        visitor.delete_passkey()
        visitor.press("Confirm with a passkey")
    expect(visitor.passkeys).to_have_text("There is none yet.")
    token = response.value.json()["step_up_token"]
    steps = visitor.page.locator("#flow-step-up .step")
    assert set(steps.evaluate_all("steps => steps.map(step => step.dataset.state)")) == {"done"}
    expect(visitor.step("step-up", "refused")).to_be_visible()
    assert json.loads(visitor.step("step-up", "tokens").locator("pre").text_content()) == response.value.json()
    assert "step_up_required" in visitor.step("step-up", "refused").locator("pre").text_content()
    visitor.log_out()
    assert token not in visitor.page.content()


def test_a_teacher_can_stop_after_each_message_of_a_step_up(visitor):
    visitor.enter()
    visitor.add_passkey()
    visitor.page.get_by_label("Stop after each message").check()
    visitor.delete_passkey()
    visitor.press("Confirm with a passkey")
    for step in visitor.page.locator("#flow-step-up .step").all():
        expect(step).to_have_attribute("aria-current", "step")
        visitor.press("Next message")
    expect(visitor.passkeys).to_have_text("There is none yet.")


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


def test_a_keyboard_is_enough_for_a_step_up(visitor):
    page, keyboard = visitor.page, Keyboard(visitor.page)
    visitor.enter()
    visitor.add_passkey()
    keyboard.press("End all others")
    expect(page.get_by_role("button", name="Confirm with a passkey")).to_be_focused()
    keyboard.write(dialog(visitor).get_by_label("Your password"), PASSWORD)
    page.keyboard.press("Enter")
    expect(visitor.status).to_have_text("All other sessions have ended.")
    expect(page.get_by_role("button", name="End all others")).to_be_focused()


def test_on_a_phone_the_dialog_fits_and_what_happened_is_said_where_the_user_is(visit):
    visitor = visit(viewport=PHONE)
    visitor.enter()
    visitor.add_passkey()
    visitor.delete_passkey()
    expect(visitor.page.get_by_role("button", name="Confirm with a passkey")).to_be_in_viewport(ratio=1)
    expect(visitor.page.get_by_role("button", name="Cancel")).to_be_in_viewport(ratio=1)
    visitor.press("Confirm with a passkey")
    expect(visitor.page.locator(".words")).to_contain_text("delete it there too")
    expect(visitor.page.locator(".words")).to_be_in_viewport()
