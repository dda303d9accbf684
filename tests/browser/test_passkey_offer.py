"""What the page says about passkeys, to the user (an offer after a password login, advice) and to authenticators."""

import pytest
from playwright.sync_api import Route, expect

from tests.support.browser import DelayedResponse, Visitor

pytestmark = [pytest.mark.pages, pytest.mark.passkeys, pytest.mark.browser]

#: Collects the calls of the Signal API and of create() in ``window.calls``. ALTER changes the methods.
SPY = """
  window.calls = [];
  const spy = (target, name) => {
    const genuine = target[name]?.bind(target);
    target[name] = (details) => (calls.push([name, details]), genuine?.(details));
  };
  for (const name of ["signalAllAcceptedCredentials", "signalCurrentUserDetails", "signalUnknownCredential"]) {
    spy(PublicKeyCredential, name);
  }
  spy(navigator.credentials, "create");
"""


def offer(visitor):
    return visitor.page.get_by_role("group", name="Log in with a passkey from now on?")


def advice(visitor):
    return visitor.page.get_by_text("Add a second passkey")


def signals(visitor, name):
    """Return the arguments of the calls of a method of the Signal API."""
    return visitor.page.evaluate(
        "name => calls.filter(([called]) => called === name).map(([, details]) => details)", name
    )


# --- The offer and the advice -----------------------------------------------------------------------------------------


def test_password_login_offers_a_passkey_and_says_what_changes(visitor):
    visitor.page.evaluate(SPY)
    visitor.sign_up_and_log_in()
    expect(offer(visitor)).to_contain_text("Each login with your password also needs the passkey")
    expect(offer(visitor)).to_contain_text("All your other sessions are revoked")
    # Nothing has happened without the user's decision.
    assert signals(visitor, "create") == []
    visitor.press("Create a passkey")
    visitor.expect_heading("Passkeys")
    expect(visitor.status).to_have_text("The passkey “Passkey” is registered.")
    expect(offer(visitor)).to_be_hidden()
    expect(advice(visitor)).to_be_visible()
    visitor.log_out()
    visitor.log_in_with_both()
    expect(offer(visitor)).to_be_hidden()
    assert visitor.error_statuses == []


def test_declined_offer_is_made_again_only_after_the_next_login(visitor):
    visitor.sign_up_and_log_in()
    visitor.press("Not now")
    visitor.expect_heading("Passkeys")
    expect(offer(visitor)).to_be_hidden()
    visitor.refresh_tokens()
    visitor.add_passkey()
    visitor.delete_passkey()
    visitor.press("Confirm with a passkey")
    visitor.expect_no_passkeys()
    expect(offer(visitor)).to_be_hidden()
    visitor.log_out()
    visitor.log_in()
    expect(offer(visitor)).to_be_visible()


def test_failed_creation_is_reported_in_the_offer(visitor):
    visitor.sign_up_and_log_in()
    visitor.page.evaluate(
        "() => { navigator.credentials.create = () => Promise.reject(new DOMException('', 'NotAllowedError')); }"
    )
    visitor.press("Create a passkey")
    expect(offer(visitor).get_by_role("alert")).to_contain_text("The passkey was not used")
    visitor.press("Not now")
    visitor.log_out()


def test_tab_that_joins_a_session_and_a_browser_without_passkeys_get_no_offer(visit, url):
    visit()
    visitor = visit()  # The init script below stays in a window, so this window is closed after the test.
    visitor.sign_up_and_log_in()
    tab = visitor.page.context.new_page()
    joined = Visitor(tab, url)
    joined.email = visitor.email
    joined.expect_logged_in()
    expect(offer(joined)).to_be_hidden()
    tab.close()
    visitor.page.add_init_script("delete window.PublicKeyCredential;")
    visitor.page.reload()
    visitor.log_in()
    expect(offer(visitor)).to_be_hidden()


def test_second_passkey_is_advised_until_there_is_one(visitor):
    visitor.sign_up_and_log_in()
    expect(advice(visitor)).to_be_hidden()
    visitor.add_passkey()
    expect(advice(visitor)).to_be_visible()

    def become_another_device(route):
        visitor.forget_passkeys()
        route.fallback()

    visitor.page.get_by_label("Name of a new passkey").fill("Phone")
    visitor.press("Add a passkey")
    visitor.route_once("**/webauthn/register/begin", become_another_device)
    visitor.press("Confirm with a passkey")
    expect(visitor.passkeys.locator("li")).to_have_count(2)
    expect(advice(visitor)).to_be_hidden()


# --- The Signal API (WebAuthn section 5.1.10) -------------------------------------------------------------------------


def test_authenticators_learn_of_each_list_of_passkeys(visitor, client):
    visitor.page.evaluate(SPY)
    visitor.sign_up_and_log_in()
    visitor.add_passkey()
    (stored,) = [key.rstrip("=").replace("+", "-").replace("/", "_") for key in visitor.stored_passkeys()]
    visitor.press("Rename Laptop")
    visitor.page.get_by_label("New name").fill("Desk")
    visitor.press("Save")
    visitor.press("Confirm with a passkey")
    expect(visitor.passkeys.get_by_text("Desk")).to_be_visible()
    visitor.delete_passkey("Desk")
    visitor.expect_no_passkeys()
    accepted = signals(visitor, "signalAllAcceptedCredentials")
    assert [call["allAcceptedCredentialIds"] for call in accepted] == [[], [stored], [stored], []]
    details = signals(visitor, "signalCurrentUserDetails")
    assert {call["name"] for call in details} == {visitor.email}
    assert {call["displayName"] for call in details} == {"Test Person"}
    assert {call["rpId"] for call in (*accepted, *details)} == {"localhost"}
    (user_id,) = {call["userId"] for call in (*accepted, *details)}
    options = signals(visitor, "create")
    assert len(options) == 1
    assert len(user_id) == 22  # 16 bytes
    # This method deletes for good.
    assert signals(visitor, "signalUnknownCredential") == []
    # The authenticator of the test obeys the signal.
    assert visitor.stored_passkeys() == []


LIST = """async () => {
  const { backend } = await import("/scripts/backend.js");
  window.listed = backend.listPasskeys();
}"""


def test_slow_list_from_before_an_addition_does_not_hide_the_new_passkey(visitor):
    visitor.sign_up_and_log_in()
    visitor.page.evaluate(SPY)
    delayed = DelayedResponse(visitor, "**/webauthn/credentials")
    visitor.page.evaluate(LIST)
    delayed.wait()
    visitor.add_passkey()
    delayed.release()
    assert visitor.page.evaluate("() => listed") == []
    accepted = signals(visitor, "signalAllAcceptedCredentials")
    assert [len(call["allAcceptedCredentialIds"]) for call in accepted] == [1]
    assert len(visitor.stored_passkeys()) == 1


def test_list_during_an_addition_does_not_hide_the_new_passkey(visitor):
    """The authenticator has made the passkey, and the server has not stored it yet."""
    visitor.sign_up_and_log_in()
    visitor.page.evaluate(SPY)
    waiting: list[Route] = []
    visitor.route_once("**/webauthn/register/complete", waiting.append)
    visitor.page.get_by_label("Name of a new passkey").fill("Laptop")
    visitor.press("Add a passkey")
    visitor.wait_until(lambda: waiting)
    visitor.page.evaluate(LIST)
    assert visitor.page.evaluate("() => listed") == []
    waiting.pop().continue_()
    expect(visitor.passkeys.get_by_text("Laptop")).to_be_visible()
    accepted = signals(visitor, "signalAllAcceptedCredentials")
    assert [len(call["allAcceptedCredentialIds"]) for call in accepted] == [1]
    assert len(visitor.stored_passkeys()) == 1


@pytest.mark.parametrize(
    "alter",
    [
        "for (const name of names) delete PublicKeyCredential[name];",
        "for (const name of names) PublicKeyCredential[name] = () => Promise.reject(new TypeError('no'));",
        "for (const name of names) PublicKeyCredential[name] = () => { throw new TypeError('no'); };",
    ],
)
def test_browser_without_or_with_a_failing_signal_api_lists_passkeys(visitor, alter):
    names = "const names = ['signalAllAcceptedCredentials', 'signalCurrentUserDetails'];"
    visitor.page.evaluate(f"() => {{ {names} {alter} }}")
    visitor.sign_up_with_passkey()
    visitor.log_out()
    visitor.log_in_with_passkey()


def test_server_can_switch_the_signals_off(visitor):
    """After a restore of an older database the list lacks the newest passkeys."""

    def switch_off(route):
        response = route.fetch()
        route.fulfill(response=response, json={**response.json(), "signals": None})

    visitor.page.route("**/webauthn/credentials", switch_off)
    visitor.page.evaluate(SPY)
    visitor.sign_up_with_passkey()
    assert signals(visitor, "signalAllAcceptedCredentials") == signals(visitor, "signalCurrentUserDetails") == []
    assert len(visitor.stored_passkeys()) == 1
