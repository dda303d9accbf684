"""Passkeys of password managers, which return objects of their own, and browsers older than WebAuthn's JSON methods."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.pages, pytest.mark.passkeys, pytest.mark.browser]

#: Replaces ``navigator.credentials``' methods as a password manager does. ``alter`` changes what it returns.
MANAGER = """
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
    "toJSON of another object": "looksGenuine()",
    "toJSON throws": "credential.toJSON = refuse",
    "toJSON returns nothing": "credential.toJSON = () => undefined",
    "toJSON returns an empty object": "credential.toJSON = () => ({})",
    "toJSON returns texts that are no base64url": (
        "credential.toJSON = () => ({ ...credential, response: { clientDataJSON: '[object ArrayBuffer]' } })"
    ),
    "members that are the prototype's": (
        "delete credential.authenticatorAttachment, delete credential.type, delete credential.id;"
        "delete credential.getClientExtensionResults; for (const method of methods) delete response[method];"
        "looksGenuine()"
    ),
    "no rawId": "delete credential.rawId",
    "methods that throw": (
        "credential.getClientExtensionResults = refuse; for (const method of methods) response[method] = refuse"
    ),
    "transports that are no list": "response.getTransports = () => null",
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
    "bytes among the extensions' results": (
        "credential.getClientExtensionResults = () => ({ prf: { results: { first: new ArrayBuffer(32) } } })"
    ),
    "extensions' results that are no JSON": "credential.getClientExtensionResults = () => ({ number: 1n })",
}


def use_passkey(visitor):
    """Add a passkey, and log in with it in each way."""
    visitor.enter_with_passkey()
    visitor.log_out()
    visitor.log_in_with_both()
    visitor.log_out()
    visitor.log_in_with_passkey()
    assert visitor.refusals == []


@pytest.mark.parametrize("alter", ALTERATIONS.values(), ids=ALTERATIONS.keys())
def test_passkey_of_a_password_manager_is_added_and_logs_in(visitor, alter):
    visitor.page.evaluate(MANAGER.replace("ALTER", alter), None)
    use_passkey(visitor)


def test_the_members_of_a_password_managers_passkey_all_arrive(visitor):
    alter = "credential.getClientExtensionResults = () => ({ prf: { results: { first: new Uint8Array([251, 255]) } } })"
    visitor.page.evaluate(MANAGER.replace("ALTER", f"{alter}; looksGenuine()"), None)
    sent = {}
    visitor.listen("request", lambda request: sent.update({request.url: request.post_data_json}))
    visitor.enter_with_passkey()
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


INCOMPLETE = [
    *("return null", "delete response.clientDataJSON", "response.attestationObject = {}"),
    "credential.response = null",
]


@pytest.mark.parametrize("alter", INCOMPLETE)
def test_incomplete_passkey_is_explained_and_can_be_tried_again(visitor, alter):
    visitor.enter()
    visitor.page.evaluate(MANAGER.replace("ALTER", alter), None)
    visitor.press("Add a passkey")
    expect(visitor.page.locator("#passkey-form").get_by_role("alert")).to_contain_text("incomplete passkey")
    expect(visitor.step("registration", "consent")).to_have_attribute("data-state", "failed")
    visitor.page.evaluate("() => { delete navigator.credentials.create; }")
    visitor.forget_passkeys()
    visitor.add_passkey()
    assert visitor.refusals == []


def test_password_manager_that_rejects_with_anything_is_reported(visitor):
    visitor.enter()
    alert = visitor.page.locator("#passkey-form").get_by_role("alert")
    for reason in ("undefined", "null", "'cancelled by the user'", "{}"):
        visitor.page.evaluate(f"() => {{ navigator.credentials.create = () => Promise.reject({reason}); }}")
        with visitor.page.expect_response("**/webauthn/register/begin"):
            visitor.press("Add a passkey")
        expect(alert).to_contain_text("The browser says")


def test_an_authenticator_whose_bytes_the_page_cannot_decode_is_the_servers_to_judge(visitor):
    """The page decodes messages to show them. Only the server decides."""
    visitor.enter()
    alter = "response.attestationObject = new Uint8Array([0xbf, 0xff])"
    visitor.page.evaluate(MANAGER.replace("ALTER", alter), None)
    visitor.press("Add a passkey")
    expect(visitor.page.locator("#passkey-form").get_by_role("alert")).to_contain_text("400 passkey_rejected")
    expect(visitor.step("registration", "attested")).to_contain_text("cannot decode")
    assert visitor.refusals == [400]


def test_browser_without_the_json_methods_uses_passkeys(visit):
    visit()
    visitor = visit()  # a window that is closed afterwards: the script below stays in it
    visitor.page.add_init_script(
        """for (const name of ["parseCreationOptionsFromJSON", "parseRequestOptionsFromJSON"]) {
             delete PublicKeyCredential[name];
           }
           delete PublicKeyCredential.prototype.toJSON;"""
    )
    visitor.page.reload()
    use_passkey(visitor)
