"""The diagram: that it shows what really went over the wire, in the order in which it did."""

import base64
import hashlib
import json

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.pages, pytest.mark.passkeys, pytest.mark.browser]

REGISTRATION = ["begin", "options", "make", "consent", "attested", "credential", "complete", "checks", "stored"]
AUTHENTICATION = ["begin", "options", "get", "consent", "assertion", "credential", "complete", "checks", "tokens"]


def messages(visitor, flow, step):
    """Return the JSON documents that a step shows."""
    return [json.loads(text) for text in visitor.step(flow, step).locator("pre").all_text_contents()]


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Wire:
    """What the page and the service have said to each other."""

    def __init__(self, visitor):
        self.sent, self.answers = {}, {}
        visitor.listen("response", self._on_response)

    def _on_response(self, response):
        path = "/" + response.url.split("/", 3)[3]
        if response.request.resource_type == "fetch":
            self.sent[path] = response.request.post_data_json if response.request.post_data else None
            self.answers[path] = response

    def answer(self, path):
        return self.answers[path].json()


def expect_all_done(visitor, flow, steps):
    for step in steps:
        expect(visitor.step(flow, step)).to_have_attribute("data-state", "done")
    shown = visitor.page.locator(f"#flow-{flow} .step")
    assert shown.evaluate_all("steps => steps.map(step => step.dataset.step)") == steps
    assert shown.locator(".number").all_text_contents() == [str(place) for place in range(1, len(steps) + 1)]


def expect_the_challenge_to_be_marked(visitor, flow, challenge):
    marks = visitor.page.locator(f"#flow-{flow} mark").all_text_contents()
    assert len(marks) >= 3
    assert set(marks) == {challenge}


def expect_the_checks_to_hold(visitor, flow, *, servers_own):
    checks = visitor.step(flow, "checks").locator(".checks li")
    verdicts = checks.evaluate_all("items => items.map(item => item.dataset.holds)")
    assert set(verdicts) == {"true", "null"}
    assert verdicts.count("null") == servers_own


def test_a_registration_is_shown_as_it_was(visitor, url):
    visitor.enter()
    wire = Wire(visitor)
    visitor.add_passkey()

    expect_all_done(visitor, "registration", REGISTRATION)
    begun = wire.answer("/webauthn/register/begin")
    sent = wire.sent["/webauthn/register/complete"]
    assert messages(visitor, "registration", "begin") == [wire.sent["/webauthn/register/begin"]] == [{}]
    assert messages(visitor, "registration", "options") == [begun]
    assert messages(visitor, "registration", "complete") == [sent]
    assert messages(visitor, "registration", "stored") == [wire.answer("/webauthn/register/complete")]

    client_data, credential = messages(visitor, "registration", "credential")
    assert credential == sent["credential"]
    assert client_data == json.loads(decode(credential["response"]["clientDataJSON"]))
    assert client_data["challenge"] == begun["options"]["challenge"]
    assert client_data["origin"] == url
    expect_the_challenge_to_be_marked(visitor, "registration", begun["options"]["challenge"])

    (command,) = messages(visitor, "registration", "make")
    assert decode(command["hash"]) == hashlib.sha256(decode(credential["response"]["clientDataJSON"])).digest()
    (attestation,) = messages(visitor, "registration", "attested")
    bytes_of_it = decode(credential["response"]["authenticatorData"])
    shown = attestation["authData"]
    assert (attestation["fmt"], attestation["attStmt"]) == ("none", {})
    assert decode(shown["rpIdHash"]) == bytes_of_it[:32] == hashlib.sha256(b"localhost").digest()
    assert shown["signCount"] == int.from_bytes(bytes_of_it[33:37])
    assert shown["flags"] == {"UP": True, "UV": True, "BE": False, "BS": False, "AT": True, "ED": False}
    assert messages(visitor, "registration", "consent") == [shown["flags"]]
    assert shown["attestedCredentialData"]["credentialId"] == credential["id"]
    assert shown["attestedCredentialData"]["credentialPublicKey"]["alg"] == credential["response"]["publicKeyAlgorithm"]
    expect_the_checks_to_hold(visitor, "registration", servers_own=1)

    message = visitor.step("registration", "options").locator(".message")
    expect(message).to_be_hidden()
    visitor.press("Open all messages")
    expect(message).to_be_visible()
    visitor.press("Open all messages")
    expect(message).to_be_hidden()


@pytest.mark.parametrize("flow", ["second-factor", "passkey-alone"])
def test_a_login_is_shown_as_it_was(visitor, flow):
    visitor.enter()
    visitor.add_passkey()
    visitor.log_out()
    wire = Wire(visitor)
    if flow == "second-factor":
        visitor.give_password()
        visitor.press("Use your passkey")
    else:
        visitor.press("Log in with a passkey alone")
    visitor.expect_to_be_in()

    expect_all_done(visitor, flow, (["password", "mfa"] if flow == "second-factor" else []) + AUTHENTICATION)
    begun = wire.answer("/webauthn/login/begin")
    sent = wire.sent["/webauthn/login/complete"]
    assert messages(visitor, flow, "begin") == [wire.sent["/webauthn/login/begin"]]
    assert messages(visitor, flow, "options") == [begun]
    assert messages(visitor, flow, "complete") == [sent]
    assert messages(visitor, flow, "tokens") == [wire.answer("/webauthn/login/complete")]

    client_data, credential = messages(visitor, flow, "credential")
    assert credential == sent["credential"]
    assert client_data == json.loads(decode(credential["response"]["clientDataJSON"]))
    assert client_data["challenge"] == begun["options"]["challenge"]
    expect_the_challenge_to_be_marked(visitor, flow, begun["options"]["challenge"])
    (assertion,) = messages(visitor, flow, "assertion")
    assert assertion["signature"] == credential["response"]["signature"]
    assert assertion["authenticatorData"]["signCount"] == int.from_bytes(
        decode(credential["response"]["authenticatorData"])[33:37]
    )
    expect_the_checks_to_hold(visitor, flow, servers_own=2)

    if flow == "second-factor":
        assert messages(visitor, flow, "mfa") == [wire.answer("/login")]
        (password,) = messages(visitor, flow, "password")
        assert password == {"email": visitor.email, "password": "(not shown)"}
        assert messages(visitor, flow, "begin") == [{"mfa_token": wire.answer("/login")["mfa_token"]}]


def test_a_teacher_can_stop_after_each_message(visitor):
    visitor.enter()
    wire = Wire(visitor)
    visitor.page.get_by_label("Stop after each message").check()
    visitor.press("Add a passkey")
    for step in REGISTRATION:
        current = visitor.step("registration", step)
        expect(current).to_have_attribute("aria-current", "step")
        if step == "complete":
            assert "/webauthn/register/complete" not in wire.sent
        if step != "consent":
            expect(current.locator(".message").first).to_be_visible()
        visitor.press("Next message")
    expect(visitor.status).to_have_text("The passkey “Passkey” is registered.")
    expect(visitor.page.get_by_role("button", name="Next message")).to_be_hidden()
    assert "/webauthn/register/complete" in wire.sent


def test_a_refusal_is_shown_at_its_step(visitor):
    visitor.enter()
    incomplete = '{"challenge_id": "1"}'
    visitor.page.route("**/webauthn/register/complete", lambda route: route.continue_(post_data=incomplete))
    visitor.press("Add a passkey")
    failed = visitor.step("registration", "complete")
    expect(failed).to_have_attribute("data-state", "failed")
    (problem,) = messages(visitor, "registration", "complete")
    assert (problem["status"], problem["code"]) == (422, "validation_failed")
    expect(visitor.step("registration", "checks")).to_have_attribute("data-state", "waiting")
    assert visitor.refusals == [422]


def test_the_flows_can_be_read_before_they_run(visitor):
    flows = {
        "Login, both factors": "second-factor",
        "Login, passkey alone": "passkey-alone",
        "Step-up": "step-up",
    }
    for name, flow in flows.items():
        visitor.page.get_by_label(name).check()
        expect(visitor.step(flow, "checks")).to_be_visible()
        expect(visitor.step("registration", "begin")).to_be_hidden()
    visitor.page.get_by_label("Adding a passkey").check()
    expect(visitor.step("registration", "begin")).to_be_visible()
    # Each step names its section of a standard.
    targets = visitor.page.locator(".spec a").evaluate_all("links => links.map(link => link.href)")
    assert len(targets) == visitor.page.locator(".step").count() == 39
    assert all(target.startswith("https://") for target in targets)


def test_logging_out_leaves_nothing_of_the_messages(visitor):
    wire = Wire(visitor)
    visitor.enter()
    visitor.add_passkey()
    visitor.log_out()
    visitor.give_password()
    visitor.press("Use your passkey")
    visitor.expect_to_be_in()
    user_handle = wire.sent["/webauthn/login/complete"]["credential"]["response"]["userHandle"]
    tokens = wire.answer("/webauthn/login/complete")
    secrets = [
        *(
            tokens["access_token"],
            tokens["refresh_token"],
            tokens["step_up_token"],
            *tokens["access_token"].split(".")[1:],
        ),
        *(wire.answer("/login")["mfa_token"], wire.answer("/webauthn/login/begin")["options"]["challenge"]),
        *(visitor.email, user_handle),
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


def test_logging_out_ends_a_ceremony_that_waits(visitor):
    visitor.enter()
    visitor.set_authenticator(answers=False)
    visitor.press("Add a passkey")
    expect(visitor.step("registration", "consent")).to_have_attribute("aria-current", "step")
    visitor.log_out()
    visitor.set_authenticator()
    expect(visitor.page.locator('.step:not([data-state="waiting"])')).to_have_count(0)
    expect(visitor.page.locator(".step .message")).to_have_count(0)
