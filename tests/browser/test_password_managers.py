"""Passkeys of password managers, which return incomplete objects, and browsers without WebAuthn's JSON methods."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.pages, pytest.mark.passkeys, pytest.mark.browser]

#: A script that replaces the methods of ``navigator.credentials``, as a password manager does. ALTER is replaced by
#: a statement that changes the returned credential.
PASSWORD_MANAGER = """
alter => {
  const names = ["id", "rawId", "type", "authenticatorAttachment"];
  const parts = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];
  const methods = ["getAuthenticatorData", "getPublicKey", "getPublicKeyAlgorithm", "getTransports"];
  const own = (genuine, members) => Object.fromEntries(members.map((name) => [name, genuine[name]]));
  for (const name of ["create", "get"]) {
    const genuine = navigator.credentials[name].bind(navigator.credentials);
    navigator.credentials[name] = async (options) => {
      const found = await genuine(options);
      const response = own(found.response, parts.filter((part) => part in found.response));
      for (const method of methods) if (found.response[method]) response[method] = () => found.response[method]();
      const credential = { ...own(found, names), response, getClientExtensionResults: () => ({}) };
      const looksGenuine = () => {
        Object.setPrototypeOf(response, Object.getPrototypeOf(found.response));
        Object.setPrototypeOf(credential, PublicKeyCredential.prototype);
      };
      const refuse = () => { throw new TypeError("Illegal invocation"); };
      const view = (buffer) => {
        const longer = new Uint8Array(buffer.byteLength + 7);
        longer.set(new Uint8Array(buffer), 5);
        return new DataView(longer.buffer, 5, buffer.byteLength);
      };
      const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));
      ALTER;
      return credential;
    };
  }
}
"""

ALTERATIONS = {
    "no toJSON": "",
    "toJSON of the browser's prototype": "looksGenuine()",
    "toJSON throws": "credential.toJSON = refuse",
    "toJSON returns nothing": "credential.toJSON = () => undefined",
    "toJSON returns an empty object": "credential.toJSON = () => ({})",
    "toJSON returns texts that are not base64url": (
        "credential.toJSON = () => ({ ...credential, response: { clientDataJSON: '[object ArrayBuffer]' } })"
    ),
    "members that the prototype has": (
        "delete credential.authenticatorAttachment, delete credential.type, delete credential.id;"
        "delete credential.getClientExtensionResults; for (const method of methods) delete response[method];"
        "looksGenuine()"
    ),
    "no rawId": "delete credential.rawId",
    "methods that throw": (
        "credential.getClientExtensionResults = refuse; for (const method of methods) response[method] = refuse"
    ),
    "transports that are not a list": "response.getTransports = () => null",
    "an empty user handle": (
        "if (options.publicKey.allowCredentials?.length) response.userHandle = new ArrayBuffer(0)"
    ),
    "views instead of buffers": (
        "for (const part of parts) if (response[part]) response[part] = view(response[part]);"
        "credential.rawId = view(credential.rawId)"
    ),
    "texts instead of buffers": (
        "for (const part of parts) if (response[part]) response[part] = base64(response[part]);"
        "credential.rawId = base64(credential.rawId)"
    ),
    "bytes in the results of extensions": (
        "credential.getClientExtensionResults = () => ({ prf: { results: { first: new ArrayBuffer(32) } } })"
    ),
    "results of extensions that are not JSON": "credential.getClientExtensionResults = () => ({ number: 1n })",
}


def use_passkey(visitor):
    """Add a passkey, log in with password and passkey, then with the passkey alone."""
    visitor.sign_up_with_passkey()
    visitor.log_out()
    visitor.log_in_with_both()
    visitor.log_out()
    visitor.log_in_with_passkey()
    assert visitor.error_statuses == []


@pytest.mark.parametrize("alter", ALTERATIONS.values(), ids=ALTERATIONS.keys())
def test_password_manager_passkey_is_added_and_logs_in(visitor, alter):
    visitor.page.evaluate(PASSWORD_MANAGER.replace("ALTER", alter), None)
    use_passkey(visitor)


def test_password_manager_passkey_is_sent_with_all_members(visitor):
    alter = "credential.getClientExtensionResults = () => ({ prf: { results: { first: new Uint8Array([251, 255]) } } })"
    visitor.page.evaluate(PASSWORD_MANAGER.replace("ALTER", f"{alter}; looksGenuine()"), None)
    sent = {}
    visitor.listen("request", lambda request: sent.update({request.url: request.post_data_json}))
    visitor.sign_up_with_passkey()
    registered = sent[f"{visitor.url}/webauthn/register/complete"]["credential"]
    assert registered["response"].keys() >= {"clientDataJSON", "attestationObject", "authenticatorData", "publicKey"}
    assert registered["response"]["transports"] == ["internal"]
    assert isinstance(registered["response"]["publicKeyAlgorithm"], int)
    assert registered["authenticatorAttachment"] == "platform"
    assert registered["clientExtensionResults"] == {"prf": {"results": {"first": "-_8"}}}

    visitor.log_out()
    visitor.log_in_with_passkey()
    used = sent[f"{visitor.url}/webauthn/login/complete"]["credential"]
    assert used["id"] == used["rawId"] == registered["id"]
    assert used["response"].keys() == {"clientDataJSON", "authenticatorData", "signature", "userHandle"}
    assert used["clientExtensionResults"] == {"prf": {"results": {"first": "-_8"}}}


INCOMPLETE_PASSKEYS = [
    *("return null", "delete response.clientDataJSON", "response.attestationObject = {}"),
    "credential.response = null",
]


@pytest.mark.parametrize("alter", INCOMPLETE_PASSKEYS)
def test_incomplete_passkey_is_reported_and_can_be_retried(visitor, alter):
    visitor.sign_up_and_log_in()
    visitor.page.evaluate(PASSWORD_MANAGER.replace("ALTER", alter), None)
    visitor.press("Add a passkey")
    expect(visitor.page.locator("#passkey-form").get_by_role("alert")).to_contain_text("incomplete passkey")
    expect(visitor.step("registration", "consent")).to_have_attribute("data-state", "failed")
    visitor.page.evaluate("() => { delete navigator.credentials.create; }")
    visitor.forget_passkeys()
    visitor.add_passkey()
    assert visitor.error_statuses == []


def test_password_manager_rejecting_with_any_value_is_reported(visitor):
    visitor.sign_up_and_log_in()
    alert = visitor.page.locator("#passkey-form").get_by_role("alert")
    for reason in ("undefined", "null", "'cancelled by the user'", "{}"):
        visitor.page.evaluate(f"() => {{ navigator.credentials.create = () => Promise.reject({reason}); }}")
        with visitor.page.expect_response("**/webauthn/register/begin"):
            visitor.press("Add a passkey")
        expect(alert).to_contain_text("The browser reports")


def test_undecodable_attestation_is_sent_to_the_server(visitor):
    """The page decodes messages only to show them. The server validates them."""
    visitor.sign_up_and_log_in()
    alter = "response.attestationObject = new Uint8Array([0xbf, 0xff])"
    visitor.page.evaluate(PASSWORD_MANAGER.replace("ALTER", alter), None)
    visitor.press("Add a passkey")
    expect(visitor.page.locator("#passkey-form").get_by_role("alert")).to_contain_text("400 passkey_rejected")
    expect(visitor.step("registration", "attested")).to_contain_text("cannot decode")
    assert visitor.error_statuses == [400]


def test_browser_without_json_methods_uses_passkeys(visit):
    visit()
    visitor = visit()  # The init script below stays in a window, so this window is closed after the test.
    visitor.page.add_init_script(
        """for (const name of ["parseCreationOptionsFromJSON", "parseRequestOptionsFromJSON"]) {
             delete PublicKeyCredential[name];
           }
           delete PublicKeyCredential.prototype.toJSON;"""
    )
    visitor.page.reload()
    use_passkey(visitor)
