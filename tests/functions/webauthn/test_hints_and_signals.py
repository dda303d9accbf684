"""Hints in the options of ceremonies, and the values of the browser's Signal API in the list of passkeys."""

from dataclasses import replace

import pytest
from sqlalchemy import update

from auth_common.database.tables import passkeys, users
from tests.support.databases import start_fresh_environment
from tests.support.factories import sign_up, step_up
from tests.support.passkeys import begin_login, begin_registration, call_webauthn, enrol
from tools.authenticator.software_authenticator import to_base64url

pytestmark = [pytest.mark.passkeys, pytest.mark.sqlite]


def passkeys_of(token):
    return call_webauthn(token, "GET", "/webauthn/credentials").json


# --- Hints (WebAuthn section 5.8.7) -----------------------------------------------------------------------------------


def test_registration_prefers_this_device_and_a_passkey_alone_has_no_hint(account):
    options = begin_registration(account.access_token)["options"]
    assert options["hints"] == ["client-device", "hybrid", "security-key"]
    assert begin_login()["options"]["hints"] == []


@pytest.mark.parametrize(
    ("transports", "hints"),
    [
        (("internal",), ["client-device"]),
        (("hybrid", "internal"), ["client-device", "hybrid"]),
        (("nfc", "usb"), ["security-key"]),
        (("ble", "smart-card", "unknown"), ["security-key"]),
        (("unknown",), []),
        ((), []),
    ],
)
def test_hints_lead_to_the_passkeys_of_the_account(database, holder, transports, hints):
    token = holder.log_in().json["access_token"]
    database.execute(update(passkeys).values(transports=transports))
    assert begin_login(holder.get_mfa_token())["options"]["hints"] == hints
    assert step_up(token).json["options"]["hints"] == hints


def test_passkey_without_known_transports_removes_all_hints(database, holder):
    """The hints of the other passkey would lead the browser away from it."""
    account = replace(holder.account, access_token=holder.log_in().json["access_token"])
    enrol(account)
    assert begin_login(holder.get_mfa_token())["options"]["hints"] == ["client-device"]
    database.execute(update(passkeys).where(passkeys.c.name == "Passkey").values(transports=()))
    assert begin_login(holder.get_mfa_token())["options"]["hints"] == []


# --- Signal API (WebAuthn section 5.1.10) -----------------------------------------------------------------------------


def test_list_has_the_values_that_the_authenticator_stores(holder):
    token = holder.log_in().json["access_token"]
    (key,) = holder.authenticator.credentials
    listed = passkeys_of(token)
    assert listed["signals"] == {
        "rp_id": "localhost",
        "user_id": to_base64url(key.user_handle),
        "name": holder.account.email,
        "display_name": "Test Person",
    }
    assert [item["credential_id"] for item in listed["items"]] == [to_base64url(key.id)]


@pytest.mark.asvs("14.2.6")
def test_signals_have_only_the_data_of_the_caller(database, holder):
    other = sign_up("other@example.com")
    listed = passkeys_of(other.access_token)
    assert (listed["items"], listed["signals"]["name"]) == ([], "other@example.com")
    database.execute(update(users).where(users.c.email == holder.account.email).values(name="New Name"))
    assert passkeys_of(holder.log_in().json["access_token"])["signals"]["display_name"] == "New Name"


def test_operator_can_switch_the_signals_off(holder, monkeypatch):
    monkeypatch.setenv("PASSKEY_SIGNALS", "false")
    start_fresh_environment()
    listed = passkeys_of(holder.log_in().json["access_token"])
    assert listed["signals"] is None
    assert len(listed["items"]) == 1
