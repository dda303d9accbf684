"""The diagram of WebAuthn ceremonies: it shows the messages that the page really sent and received, in order."""

import base64
import hashlib
import json

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.pages, pytest.mark.passkeys, pytest.mark.browser]

REGISTRATION = ["begin", "options", "make", "consent", "attested", "credential", "complete", "checks", "stored"]
AUTHENTICATION = ["begin", "options", "get", "consent", "assertion", "credential", "complete", "checks", "tokens"]


class ShownFlow:
    """The content of the diagram of one flow."""

    def __init__(self, visitor, flow):
        self._visitor, self._flow = visitor, flow

    def messages(self, step):
        """Return the JSON documents that a step shows."""
        return [json.loads(text) for text in self._visitor.step(self._flow, step).locator("pre").all_text_contents()]

    def expect_all_done(self, steps):
        for step in steps:
            expect(self._visitor.step(self._flow, step)).to_have_attribute("data-state", "done")
        shown = self._visitor.page.locator(f"#flow-{self._flow} .step")
        assert shown.evaluate_all("steps => steps.map(step => step.dataset.step)") == steps
        assert shown.locator(".number").all_text_contents() == [str(place) for place in range(1, len(steps) + 1)]

    def expect_credential(self, begun, sent, *, servers_own):
        """Compare the shown credential, challenge and checks with the messages, and return the credential.

        Args:
            begun: The response that began the ceremony.
            sent: The body of the request that completed the ceremony.
            servers_own: The number of checks that only the server can make.

        """
        client_data, credential = self.messages("credential")
        assert credential == sent["credential"]
        assert client_data == json.loads(decode(credential["response"]["clientDataJSON"]))
        assert client_data["challenge"] == begun["options"]["challenge"]
        assert client_data["origin"] == self._visitor.url
        marks = self._visitor.page.locator(f"#flow-{self._flow} mark").all_text_contents()
        assert len(marks) >= 3
        assert set(marks) == {begun["options"]["challenge"]}
        checks = self._visitor.step(self._flow, "checks").locator(".checks li")
        verdicts = checks.evaluate_all("items => items.map(item => item.dataset.holds)")
        assert set(verdicts) == {"true", "null"}
        assert verdicts.count("null") == servers_own
        return credential


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Traffic:
    """The request bodies and responses of the page by path, from its creation on."""

    def __init__(self, visitor):
        self.sent, self.responses = {}, {}
        visitor.listen("response", self._on_response)

    def _on_response(self, response):
        path = "/" + response.url.split("/", 3)[3]
        if response.request.resource_type == "fetch":
            self.sent[path] = response.request.post_data_json if response.request.post_data else None
            self.responses[path] = response

    def response_body(self, path):
        return self.responses[path].json()


def test_passkey_registration_is_shown_with_its_real_messages(visitor):
    visitor.sign_up_and_log_in()
    traffic = Traffic(visitor)
    visitor.add_passkey()

    shown = ShownFlow(visitor, "registration")
    shown.expect_all_done(REGISTRATION)
    begun = traffic.response_body("/webauthn/register/begin")
    sent = traffic.sent["/webauthn/register/complete"]
    assert shown.messages("begin") == [traffic.sent["/webauthn/register/begin"]] == [{}]
    assert shown.messages("options") == [begun]
    assert shown.messages("complete") == [sent]
    assert shown.messages("stored") == [traffic.response_body("/webauthn/register/complete")]
    credential = shown.expect_credential(begun, sent, servers_own=1)

    (command,) = shown.messages("make")
    assert decode(command["hash"]) == hashlib.sha256(decode(credential["response"]["clientDataJSON"])).digest()
    (attestation,) = shown.messages("attested")
    octets = decode(credential["response"]["authenticatorData"])
    data = attestation["authData"]
    assert (attestation["fmt"], attestation["attStmt"]) == ("none", {})
    assert decode(data["rpIdHash"]) == octets[:32] == hashlib.sha256(b"localhost").digest()
    assert data["signCount"] == int.from_bytes(octets[33:37])
    assert data["flags"] == {"UP": True, "UV": True, "BE": False, "BS": False, "AT": True, "ED": False}
    assert shown.messages("consent") == [data["flags"]]
    assert data["attestedCredentialData"]["credentialId"] == credential["id"]
    assert data["attestedCredentialData"]["credentialPublicKey"]["alg"] == credential["response"]["publicKeyAlgorithm"]

    message = visitor.step("registration", "options").locator(".message")
    for is_open in (False, True, False):
        expect(message).to_be_visible(visible=is_open)
        visitor.press("Open all messages")


@pytest.mark.parametrize("flow", ["second-factor", "passkey-alone"])
def test_passkey_login_is_shown_with_its_real_messages(visitor, flow):
    visitor.sign_up_with_stored_passkey()
    traffic = Traffic(visitor)
    if flow == "second-factor":
        visitor.log_in_with_both()
    else:
        visitor.log_in_with_passkey()

    shown = ShownFlow(visitor, flow)
    shown.expect_all_done((["password", "mfa"] if flow == "second-factor" else []) + AUTHENTICATION)
    begun = traffic.response_body("/webauthn/login/begin")
    sent = traffic.sent["/webauthn/login/complete"]
    assert shown.messages("begin") == [traffic.sent["/webauthn/login/begin"]]
    assert shown.messages("options") == [begun]
    assert shown.messages("complete") == [sent]
    assert shown.messages("tokens") == [traffic.response_body("/webauthn/login/complete")]
    response = shown.expect_credential(begun, sent, servers_own=2)["response"]
    (assertion,) = shown.messages("assertion")
    assert assertion["signature"] == response["signature"]
    signed = assertion["authenticatorData"]["signCount"]
    assert signed == int.from_bytes(decode(response["authenticatorData"])[33:37])

    if flow == "second-factor":
        assert shown.messages("mfa") == [traffic.response_body("/login")]
        (password,) = shown.messages("password")
        assert password == {"email": visitor.email, "password": "(not shown)"}
        assert shown.messages("begin") == [{"mfa_token": traffic.response_body("/login")["mfa_token"]}]


def test_registration_diagram_can_stop_after_each_message(visitor):
    visitor.sign_up_and_log_in()
    traffic = Traffic(visitor)
    visitor.page.get_by_label("Stop after each message").check()
    visitor.press("Add a passkey")
    for step in REGISTRATION:
        current = visitor.step("registration", step)
        expect(current).to_have_attribute("aria-current", "step")
        if step == "complete":
            assert "/webauthn/register/complete" not in traffic.sent
        if step != "consent":
            expect(current.locator(".message").first).to_be_visible()
        visitor.press("Next message")
    expect(visitor.status).to_have_text("The passkey “Passkey” is registered.")
    expect(visitor.page.get_by_role("button", name="Next message")).to_be_hidden()
    assert "/webauthn/register/complete" in traffic.sent


def test_session_starts_when_the_server_has_accepted_the_passkey(visitor):
    """The diagram still waits for the user, and another ceremony replaces it."""
    visitor.sign_up_with_stored_passkey()
    visitor.page.get_by_label("Stop after each message").check()
    visitor.press("Log in with a passkey alone")
    for step in AUTHENTICATION[: AUTHENTICATION.index("checks")]:
        expect(visitor.step("passkey-alone", step)).to_have_attribute("aria-current", "step")
        visitor.press("Next message")
    visitor.expect_logged_in()
    expect(visitor.step("passkey-alone", "checks")).to_have_attribute("aria-current", "step")
    visitor.press("Add a passkey")
    expect(visitor.step("registration", "begin")).to_have_attribute("aria-current", "step")
    visitor.page.get_by_label("Stop after each message").uncheck()
    expect(visitor.page.locator("#passkey-form").get_by_role("alert")).to_contain_text("already has a passkey")
    visitor.log_out()


def test_rejected_request_is_shown_at_its_step(visitor):
    visitor.sign_up_and_log_in()
    incomplete = '{"challenge_id": "1"}'
    visitor.page.route("**/webauthn/register/complete", lambda route: route.continue_(post_data=incomplete))
    visitor.press("Add a passkey")
    failed = visitor.step("registration", "complete")
    expect(failed).to_have_attribute("data-state", "failed")
    (problem,) = ShownFlow(visitor, "registration").messages("complete")
    assert (problem["status"], problem["code"]) == (422, "validation_failed")
    expect(visitor.step("registration", "checks")).to_have_attribute("data-state", "waiting")
    assert visitor.error_statuses == [422]


def test_flows_are_readable_before_they_run(visitor):
    flows = {"Login, both factors": "second-factor", "Login, passkey alone": "passkey-alone", "Step-up": "step-up"}
    for name, flow in flows.items():
        visitor.page.get_by_label(name).check()
        expect(visitor.step(flow, "checks")).to_be_visible()
        expect(visitor.step("registration", "begin")).to_be_hidden()
    visitor.page.get_by_label("Adding a passkey").check()
    expect(visitor.step("registration", "begin")).to_be_visible()
    # Each step links to its section of a standard.
    targets = visitor.page.locator(".spec a").evaluate_all("links => links.map(link => link.href)")
    assert len(targets) == visitor.page.locator(".step").count() == 39
    assert all(target.startswith("https://") for target in targets)


def test_logout_removes_all_messages_from_the_page(visitor):
    traffic = Traffic(visitor)
    visitor.sign_up_with_stored_passkey()
    visitor.log_in_with_both()
    user_handle = traffic.sent["/webauthn/login/complete"]["credential"]["response"]["userHandle"]
    tokens = traffic.response_body("/webauthn/login/complete")
    secrets = [
        *(tokens[name] for name in ("access_token", "refresh_token", "step_up_token")),
        *(*tokens["access_token"].split(".")[1:], traffic.response_body("/login")["mfa_token"]),
        *(traffic.response_body("/webauthn/login/begin")["options"]["challenge"], visitor.email, user_handle),
    ]
    everything = "() => document.documentElement.outerHTML + [...document.querySelectorAll('input')].map(i => i.value)"
    shown = visitor.page.evaluate(everything)
    assert [secret for secret in secrets if secret not in shown] == []

    visitor.log_out()
    shown = visitor.page.evaluate(everything)
    assert [secret for secret in secrets if secret in shown] == []
    expect(visitor.page.locator(".step .message")).to_have_count(0)
    expect(visitor.page.locator("#steps mark")).to_have_count(0)
    expect(visitor.page.locator('.step:not([data-state="waiting"])')).to_have_count(0)


def test_logout_cancels_a_waiting_ceremony(visitor):
    visitor.sign_up_and_log_in()
    visitor.set_authenticator(responds=False)
    visitor.press("Add a passkey")
    expect(visitor.step("registration", "consent")).to_have_attribute("aria-current", "step")
    visitor.log_out()
    visitor.set_authenticator()
    expect(visitor.page.locator('.step:not([data-state="waiting"])')).to_have_count(0)
    expect(visitor.page.locator(".step .message")).to_have_count(0)
