"""What genuine browsers, apps and password managers send, and hostile responses in the same places."""

import json

import cbor2
import pytest
from sqlalchemy import update

from auth_common.db.tables import passkeys
from tests.support.databases import start_fresh_environment
from tests.support.factories import sign_up
from tests.support.passkeys import (
    ORIGIN,
    Holder,
    OddBrowser,
    answered_registration,
    as_bearer,
    begin_login,
    begin_registration,
    complete_login,
    complete_registration,
    enrol,
)
from tools.software_authenticator import Algorithm, SoftwareAuthenticator, from_base64url, to_base64url

pytestmark = [pytest.mark.passkeys, pytest.mark.sqlite]


@pytest.fixture
def account(database):
    return sign_up()


def register_with(account, browser, change=lambda credential: credential):
    """Return the response to a registration by ``browser``, whose response ``change`` changes."""
    ceremony = begin_registration(account.access_token)
    return complete_registration(account.access_token, ceremony, change(browser.register(ceremony["options"])))


def log_in_with(holder, browser, change=lambda credential: credential, *, alone=False):
    ceremony = begin_login(None if alone else holder.give_password())
    return complete_login(ceremony, change(browser.authenticate(ceremony["options"])))


def use_in_each_ceremony(make_browser, change=lambda credential: credential):
    """Return the statuses of a registration and of both logins by such a browser."""
    account = sign_up()
    browser = make_browser()
    registered = register_with(account, browser, change)
    if registered.status != 201:
        return [registered.status]
    holder = enrol_elsewhere(account, browser)
    statuses = [log_in_with(holder, browser, change, alone=alone).status for alone in (False, True)]
    return [registered.status, *statuses]


def enrol_elsewhere(account, browser):
    """Return the user of ``account``, whose passkey is in ``browser`` already."""
    return Holder(account, "", browser)


ACCEPTED = [201, 200, 200]


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


@pytest.mark.parametrize("write", GENUINE_CLIENT_DATA.values(), ids=GENUINE_CLIENT_DATA)
def test_client_data_that_level_3_allows_is_accepted(database, write):
    assert use_in_each_ceremony(lambda: OddBrowser(write)) == ACCEPTED


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
@pytest.mark.parametrize("write", HOSTILE_CLIENT_DATA.values(), ids=HOSTILE_CLIENT_DATA)
def test_client_data_that_breaks_a_rule_is_rejected(database, account, holder_of_other, write):
    assert register_with(account, OddBrowser(write)).code == "passkey_rejected"
    browser = OddBrowser(write, credentials=holder_of_other.authenticator.credentials)
    assert log_in_with(holder_of_other, browser).code == "passkey_login_failed"


@pytest.fixture
def holder_of_other(database):
    """A user with a passkey, beside ``account``."""
    return enrol(sign_up("other@example.com"))


# --- Members of the response ------------------------------------------------------------------------------------------


def having(**members):
    return lambda credential: {**credential, **members}


def having_in_response(**members):
    return lambda credential: {**credential, "response": {**credential["response"], **members}}


def lacking(name):
    return lambda credential: {member: value for member, value in credential.items() if member != name}


def padded(credential):
    """Return the response with padding in each base64url, as some libraries write it."""

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


@pytest.mark.parametrize("change", GENUINE_RESPONSES.values(), ids=GENUINE_RESPONSES)
def test_response_that_level_3_allows_is_accepted(database, change):
    assert use_in_each_ceremony(lambda: SoftwareAuthenticator(origin=ORIGIN), change) == ACCEPTED


@pytest.mark.parametrize("user_handle", [None, "", "absent"])
def test_second_factor_without_user_handle_is_accepted(holder, user_handle):
    ceremony, credential = holder.answered_login(holder.give_password())
    credential["response"]["userHandle"] = user_handle
    if user_handle == "absent":
        del credential["response"]["userHandle"]
    assert complete_login(ceremony, credential).status == 200


@pytest.mark.parametrize("user_handle", [7, False, [], {}, [None], {"a": 1}])
def test_user_handle_of_another_type_is_rejected(holder, user_handle):
    for mfa_token in (None, holder.give_password()):
        ceremony, credential = holder.answered_login(mfa_token)
        credential["response"]["userHandle"] = user_handle
        assert complete_login(ceremony, credential).code == "passkey_login_failed"


# --- Transports (section 5.2.1) ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [True, False], ids=["fits", "too much"])
def test_unknown_transports_are_kept_as_far_as_there_is_room(account, kept):
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
    token = enrol_elsewhere(account, browser).log_in().json["access_token"]
    (listed,) = as_bearer(token, "GET", "/webauthn/credentials").json["items"]
    assert listed["transports"] == shown
    (excluded,) = begin_registration(token)["options"]["excludeCredentials"]
    (allowed,) = begin_login(enrol_elsewhere(account, browser).give_password())["options"]["allowCredentials"]
    assert excluded == allowed == {"id": answer.json["credential_id"], "type": "public-key", "transports": shown}


@pytest.mark.asvs("2.2.1")
@pytest.mark.parametrize(
    "transports",
    [[["usb"]], [{"usb": 1}], [7], [None], [True], ["usb", []], "usb", 7, {"usb": "nfc"}, True],
    ids=str,
)
def test_transports_that_are_no_list_of_strings_are_rejected(database, account, transports):
    ceremony, credential = answered_registration(account.access_token)
    credential["response"]["transports"] = transports
    answer = complete_registration(account.access_token, ceremony, credential)
    assert (answer.status, answer.fields) == (422, {"credential"})
    # Nothing was used up, and a list that is null is as good as none.
    credential["response"]["transports"] = None
    assert complete_registration(account.access_token, ceremony, credential).json["transports"] == []


def test_transports_that_were_stored_earlier_are_shown(database, holder):
    database.execute(update(passkeys).values(transports=("hybrid", "smart-card")))
    token = holder.log_in().json["access_token"]
    (listed,) = as_bearer(token, "GET", "/webauthn/credentials").json["items"]
    assert listed["transports"] == ["hybrid", "smart-card"]


# --- Credential ids, names, origins, keys -----------------------------------------------------------------------------


#: A black flag, "gbeng" in tag characters, and the end of the tags.
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
NOT_PRINTABLE = [
    *("", "   ", "\u200d", "x" * 101, "a\nb", "\u202e2", "\x00", "\ufffd", 2, [], {}),
    # Nothing to see: fillers, variation selectors, a blank Braille pattern.
    *("\u3164", "\ufe0f", "\u3164 \u115f\u1160\uffa0", "\U000e0100", "\u2800", "\u034f\u200d", "\u180b"),
    # Tag characters outside the flag of a region.
    *(ENGLAND[1:], ENGLAND[:-1], f"Key{ENGLAND[1:]}", ENGLAND[0] + ENGLAND[-1], ENGLAND[:2] + ENGLAND[-1]),
    *(f"{ENGLAND}\U000e007f", ENGLAND.replace("\U000e0067", "\U000e0047"), f"\U0001f3f4\U000e0020{ENGLAND[1:]}"),
]


@pytest.mark.parametrize("name", ["2", "№ 5", "🔑", "*****", "鍵", " 2 ", "x" * 100, "👩‍💻", ENGLAND])
def test_passkey_name_of_printable_text_is_accepted(account, name):
    ceremony, credential = answered_registration(account.access_token)
    assert complete_registration(account.access_token, ceremony, credential, name=name).json["name"] == name.strip()


@pytest.mark.parametrize("name", NOT_PRINTABLE)
def test_passkey_name_of_other_text_is_rejected(holder, name):
    token = holder.log_in().json["access_token"]
    path = f"/webauthn/credentials/{holder.passkey_id}"
    answer = as_bearer(token, "PATCH", path, {"name": name}, path_parameters={"id": holder.passkey_id})
    assert (answer.status, answer.fields) == (422, {"name"})


ANDROID_APP = "android:apk-key-hash:7uPzD-rA_1s9vUCVTqZ3Jx5oX0lKJ4b2nWmEyH8dGfQ"


@pytest.mark.parametrize("origin", [ANDROID_APP, "https://example.co.uk"])
def test_passkey_of_app_or_related_origin_logs_in_if_configured(database, monkeypatch, origin):
    def use():
        return use_in_each_ceremony(lambda: SoftwareAuthenticator(origin=origin))

    assert use() == [400]
    monkeypatch.setenv("WEBAUTHN_ORIGINS", f"{ORIGIN},{origin}")
    start_fresh_environment()
    database.execute(passkeys.delete())
    account = sign_up("other@example.com")
    browser = SoftwareAuthenticator(origin=origin)
    assert register_with(account, browser).status == 201
    holder = enrol_elsewhere(account, browser)
    assert (holder.log_in().status, holder.log_in_alone().status) == (200, 200)


def with_key_in_words(header):
    """Return a change of a registration that writes its Ed25519 key as Firefox 117 and 118 did."""

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
def test_ed25519_key_in_words_registers_and_logs_in(account, header):
    browser = SoftwareAuthenticator(origin=ORIGIN, algorithms=(Algorithm.EDDSA,))
    assert register_with(account, browser, with_key_in_words(header)).status == 201
    holder = enrol_elsewhere(account, browser)
    assert (holder.log_in().status, holder.log_in_alone().status) == (200, 200)
