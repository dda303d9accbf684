"""Responses of genuine browsers, apps and password managers, and hostile variants of them."""

import json

import cbor2
import pytest
from sqlalchemy import update

from auth_common.database.tables import passkeys, throttles
from tests.support.databases import start_fresh_environment
from tests.support.factories import PASSWORD, sign_up, step_up
from tests.support.passkeys import (
    ORIGIN,
    PasskeyHolder,
    TamperingBrowser,
    begin_and_answer_registration,
    begin_login,
    begin_registration,
    call_webauthn,
    complete_login,
    complete_registration,
    enrol,
)
from tools.authenticator.software_authenticator import Algorithm, SoftwareAuthenticator, from_base64url, to_base64url

pytestmark = [pytest.mark.passkeys, pytest.mark.sqlite]


def register_with(account, browser, change=lambda credential: credential):
    """Register with the response of ``browser``, changed by ``change``. Return the service's response."""
    ceremony = begin_registration(account.access_token)
    return complete_registration(account.access_token, ceremony, change(browser.register(ceremony["options"])))


def log_in_with(holder, browser, change=lambda credential: credential, *, alone=False):
    ceremony = begin_login(None if alone else holder.get_mfa_token())
    return complete_login(ceremony, change(browser.authenticate(ceremony["options"])))


def not_accepted(database, account, cases, use):
    """Register and log in with and without password for each case. Return the cases that are not accepted.

    ``use`` maps a case to a browser and optionally a function that changes its responses.
    """
    outcomes = {}
    for kind, case in cases.items():
        browser, *change = use(case)
        outcomes[kind] = [register_with(account, browser, *change).status]
        if outcomes[kind] == [201]:
            holder = PasskeyHolder(account, "", browser)
            outcomes[kind] += [log_in_with(holder, browser, *change, alone=alone).status for alone in (False, True)]
        database.execute(passkeys.delete())
        step_up(account.access_token, {"current_password": PASSWORD})
    return {kind: outcome for kind, outcome in outcomes.items() if outcome != [201, 200, 200]}


# --- Client data ------------------------------------------------------------------------------------------------------


def with_members(**members):
    return lambda text: json.dumps({**json.loads(text), **members}).encode()


def without(name):
    def write(text):
        document = json.loads(text)
        del document[name]
        return json.dumps(document).encode()

    return write


GENUINE_CLIENT_DATA = {
    "Token Binding that is not supported": with_members(tokenBinding={"status": "not-supported"}),
    "Token Binding that is supported": with_members(tokenBinding={"status": "supported"}),
    "Token Binding with an id": with_members(tokenBinding={"status": "present", "id": "AAAA"}),
    "Token Binding without a status": with_members(tokenBinding={}),
    "Token Binding of an unknown status": with_members(tokenBinding={"status": ["new"], "id": 7}),
    "Token Binding as a text": with_members(tokenBinding="unused"),
    "Token Binding as a number": with_members(tokenBinding=7),
    "Token Binding as a list": with_members(tokenBinding=[{"status": None}]),
    "no Token Binding": with_members(tokenBinding=None),
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "an unknown member": with_members(other_keys_can_be_added_here="do not compare clientDataJSON with a template"),
    "no crossOrigin": without("crossOrigin"),
    "crossOrigin is null": with_members(crossOrigin=None),
    "topOrigin is null": with_members(topOrigin=None),
    "topOrigin is the origin": with_members(topOrigin=ORIGIN),
    "a challenge with padding": lambda text: text.replace('","origin', '=","origin').encode(),
    "another order and spaces": lambda text: json.dumps(json.loads(text), indent=2, sort_keys=True).encode(),
    "members of earlier levels": with_members(clientExtensions={"uvm": True}),
}


def test_client_data_that_level_3_allows_is_accepted(database, account):
    assert not_accepted(database, account, GENUINE_CLIENT_DATA, lambda write: (TamperingBrowser(write),)) == {}


HOSTILE_CLIENT_DATA = {
    "two byte order marks": lambda text: b"\xef\xbb\xbf\xef\xbb\xbf" + text.encode(),
    "a byte order mark at the end": lambda text: text.encode() + b"\xef\xbb\xbf",
    "half a byte order mark": lambda text: b"\xef\xbb" + text.encode(),
    "a byte order mark of UTF-16": lambda text: b"\xff\xfe" + text.encode(),
    "a frame": with_members(crossOrigin=True),
    "a frame by another type": with_members(crossOrigin="true"),
    "a frame of another site": with_members(topOrigin="https://evil.example"),
    "a frame in a list": with_members(topOrigin=[ORIGIN]),
    "a frame in an object": with_members(topOrigin={}),
    "origins in a list": with_members(origin=[ORIGIN]),
    "no origin": without("origin"),
    "no type": without("type"),
    "no challenge": without("challenge"),
    "a number as challenge": with_members(challenge=7),
    "a type in a list": with_members(type=["webauthn.get", "webauthn.create"]),
    "a list": lambda text: json.dumps([json.loads(text)]).encode(),
    "a text": lambda text: json.dumps(text).encode(),
    "nothing": lambda _: b"",
}


@pytest.mark.asvs("1.5.3")
def test_client_data_that_breaks_a_rule_is_rejected(database, account):
    holder = enrol(sign_up("other@example.com"))
    for kind, write in HOSTILE_CLIENT_DATA.items():
        database.execute(throttles.delete())
        assert register_with(account, TamperingBrowser(write)).code == "passkey_rejected", kind
        browser = TamperingBrowser(write, credentials=holder.authenticator.credentials)
        assert log_in_with(holder, browser).code == "passkey_login_failed", kind


# --- Members of the response ------------------------------------------------------------------------------------------


def having(**members):
    return lambda credential: {**credential, **members}


def having_in_response(**members):
    return lambda credential: {**credential, "response": {**credential["response"], **members}}


def lacking(name):
    return lambda credential: {member: value for member, value in credential.items() if member != name}


def padded(credential):
    """Return the credential with padding in each base64url text. Some libraries add padding."""

    def pad(value):
        return value + "=" * (-len(value) % 4) if isinstance(value, str) else value

    response = {name: pad(value) for name, value in credential["response"].items()}
    return {**credential, "id": pad(credential["id"]), "rawId": pad(credential["rawId"]), "response": response}


GENUINE_RESPONSES = {
    "an attachment of the future": having(authenticatorAttachment="hybrid"),
    "an empty attachment": having(authenticatorAttachment=""),
    "no attachment": lacking("authenticatorAttachment"),
    "an attachment that is null": having(authenticatorAttachment=None),
    "an attachment of another type": having(authenticatorAttachment=["platform"]),
    "no extension outputs": lacking("clientExtensionResults"),
    "extension outputs that are null": having(clientExtensionResults=None),
    "outputs of extensions": having(clientExtensionResults={"credProps": {"rk": True}, "prf": {"enabled": False}}),
    "unknown members": having(acme={"deep": [1]}, toJSON={}),
    "members that Level 3 added": having_in_response(publicKeyAlgorithm=-7, publicKey=None, attestation=[]),
    "padding": padded,
}


def test_response_that_level_3_allows_is_accepted(database, account):
    def use(change):
        return SoftwareAuthenticator(origin=ORIGIN), change

    assert not_accepted(database, account, GENUINE_RESPONSES, use) == {}


def test_second_factor_without_user_handle_is_accepted(holder):
    for user_handle in (None, "", "absent"):
        ceremony, credential = holder.begin_and_answer_login(holder.get_mfa_token())
        credential["response"]["userHandle"] = user_handle
        if user_handle == "absent":
            del credential["response"]["userHandle"]
        assert complete_login(ceremony, credential).status == 200, user_handle


def test_user_handle_of_another_type_is_rejected(database, holder):
    for user_handle in (7, False, [], {}, [None], {"a": 1}):
        database.execute(throttles.delete())
        for mfa_token in (None, holder.get_mfa_token()):
            ceremony, credential = holder.begin_and_answer_login(mfa_token)
            credential["response"]["userHandle"] = user_handle
            assert complete_login(ceremony, credential).code == "passkey_login_failed", user_handle


# --- Transports (section 5.2.1) ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [True, False], ids=["fits", "too much"])
def test_unknown_transports_are_stored_if_they_fit(account, kept):
    browser = SoftwareAuthenticator(origin=ORIGIN)
    unknown = ["payment-terminal", "two words", "%20", "é"] if kept else [f"transport-{n}" * 3 for n in range(1_000)]
    sent = ["usb", *unknown, "internal", "usb", ""]
    answer = register_with(account, browser, having_in_response(transports=sent))
    assert answer.status == 201
    shown = answer.json["transports"]
    assert shown == sorted(shown)
    assert {"internal", "usb"} <= set(shown) <= set(sent) - {""}
    assert len(shown) < 10
    if kept:
        assert set(shown) == set(sent) - {""}
    holder = PasskeyHolder(account, "", browser)
    token = holder.log_in().json["access_token"]
    (listed,) = call_webauthn(token, "GET", "/webauthn/credentials").json["items"]
    assert listed["transports"] == shown
    (excluded,) = begin_registration(token)["options"]["excludeCredentials"]
    (allowed,) = begin_login(holder.get_mfa_token())["options"]["allowCredentials"]
    assert excluded == allowed == {"id": answer.json["credential_id"], "type": "public-key", "transports": shown}


@pytest.mark.asvs("2.2.1")
def test_transports_that_are_not_a_list_of_strings_are_rejected(account):
    ceremony, credential = begin_and_answer_registration(account.access_token)
    for transports in ([["usb"]], [{"usb": 1}], [7], [None], [True], ["usb", []], "usb", 7, {"usb": "nfc"}, True):
        credential["response"]["transports"] = transports
        answer = complete_registration(account.access_token, ceremony, credential)
        assert (answer.status, answer.fields) == (422, {"credential"}), transports
    # The rejected requests did not use up the challenge. Null means no transports.
    credential["response"]["transports"] = None
    assert complete_registration(account.access_token, ceremony, credential).json["transports"] == []


def test_transports_that_were_stored_earlier_are_shown(database, holder):
    database.execute(update(passkeys).values(transports=("hybrid", "smart-card")))
    token = holder.log_in().json["access_token"]
    (listed,) = call_webauthn(token, "GET", "/webauthn/credentials").json["items"]
    assert listed["transports"] == ["hybrid", "smart-card"]


# --- Credential ids, names, origins, keys -----------------------------------------------------------------------------


#: A black flag, "gbeng" in tag characters, and the end of the tags.
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
NOT_PRINTABLE = [
    *("", "   ", "\u200d", "x" * 101, "a\nb", "\u202e2", "\x00", "\ufffd", 2, [], {}),
    # Invisible texts: fillers, variation selectors, a blank Braille pattern.
    *("\u3164", "\ufe0f", "\u3164 \u115f\u1160\uffa0", "\U000e0100", "\u2800", "\u034f\u200d", "\u180b"),
    # Tag characters outside the flag of a region.
    *(ENGLAND[1:], ENGLAND[:-1], f"Key{ENGLAND[1:]}", ENGLAND[0] + ENGLAND[-1], ENGLAND[:2] + ENGLAND[-1]),
    *(f"{ENGLAND}\U000e007f", ENGLAND.replace("\U000e0067", "\U000e0047"), f"\U0001f3f4\U000e0020{ENGLAND[1:]}"),
]


def test_passkey_name_must_be_printable_text(holder):
    token = holder.log_in().json["access_token"]
    path = f"/webauthn/credentials/{holder.passkey_id}"
    for name in ("2", "№ 5", "🔑", "*****", "鍵", " 2 ", "x" * 100, "👩‍💻", ENGLAND):
        assert (
            call_webauthn(token, "PATCH", path, {"name": name}, path_parameters={"id": holder.passkey_id}).status == 204
        )
        (listed,) = call_webauthn(token, "GET", "/webauthn/credentials").json["items"]
        assert listed["name"] == name.strip()
    for other in NOT_PRINTABLE:
        answer = call_webauthn(token, "PATCH", path, {"name": other}, path_parameters={"id": holder.passkey_id})
        assert (answer.status, answer.fields) == (422, {"name"}), other


ANDROID_APP = "android:apk-key-hash:7uPzD-rA_1s9vUCVTqZ3Jx5oX0lKJ4b2nWmEyH8dGfQ"


@pytest.mark.parametrize("origin", [ANDROID_APP, "https://example.co.uk"])
def test_passkey_of_app_or_related_origin_logs_in_if_configured(database, account, monkeypatch, origin):
    def use(_):
        return (SoftwareAuthenticator(origin=origin),)

    assert not_accepted(database, account, {origin: None}, use) == {origin: [400]}
    monkeypatch.setenv("WEBAUTHN_ORIGINS", f"{ORIGIN},{origin}")
    start_fresh_environment()
    assert not_accepted(database, account, {origin: None}, use) == {}


def with_key_in_words(header):
    """Return a function that encodes the Ed25519 key of a registration like Firefox 117 and 118 did."""

    def change(credential):
        document = cbor2.loads(from_base64url(credential["response"]["attestationObject"]))
        data = document["authData"]
        start = 55 + int.from_bytes(data[53:55])
        key = cbor2.loads(data[start:])
        words = header + cbor2.dumps({1: "OKP", 3: -8, -1: "Ed25519", -2: key[-2]})[1:]
        document["authData"] = data[:start] + words
        attestation_object = to_base64url(cbor2.dumps(document))
        return {**credential, "response": {**credential["response"], "attestationObject": attestation_object}}

    return change


@pytest.mark.parametrize("header", [b"\xa3", b"\xa4"], ids=["Firefox 117", "Firefox 118"])
def test_ed25519_key_of_firefox_117_and_118_is_accepted(account, header):
    browser = SoftwareAuthenticator(origin=ORIGIN, algorithms=(Algorithm.EDDSA,))
    assert register_with(account, browser, with_key_in_words(header)).status == 201
    holder = PasskeyHolder(account, "", browser)
    assert (holder.log_in().status, holder.log_in_with_passkey_alone().status) == (200, 200)
