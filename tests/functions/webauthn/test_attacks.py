"""Attacks on the two ceremonies. Each fails with a 4xx, opens no session and stores no passkey."""

import copy
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from auth_common.db.tables import challenges, passkeys, refresh_tokens, sessions, users
from tests.support.factories import sign_up
from tests.support.passkeys import (
    ORIGIN,
    anonymously,
    as_bearer,
    begin_login,
    begin_registration,
    complete_login,
    complete_registration,
    enrol,
)
from tools.software_authenticator import (
    Credential,
    Flags,
    SoftwareAuthenticator,
    cose_key,
    from_base64url,
    new_key,
    sign,
    to_base64url,
)


@pytest.fixture
def holder(database):
    return enrol()


@pytest.fixture
def account(database):
    return sign_up()


def mutated(credential, member, change):
    """Return a copy of ``credential`` whose response has ``member`` (base64url) changed."""
    changed = copy.deepcopy(credential)
    changed["response"][member] = to_base64url(change(from_base64url(changed["response"][member])))
    return changed


def flipped(octets):
    return octets[:-1] + bytes([octets[-1] ^ 1])


def register_with(account, **traits):
    ceremony = begin_registration(account.access_token)
    credential = SoftwareAuthenticator(**{"origin": ORIGIN, **traits}).register(ceremony["options"])
    return complete_registration(account.access_token, ceremony, credential)


def log_in_with(holder, *, alone=False, **traits):
    ceremony = begin_login(None if alone else holder.give_password())
    for name, value in traits.items():
        setattr(holder.authenticator, name, value)
    return complete_login(ceremony, holder.authenticator.authenticate(ceremony["options"]))


# --- Challenges (WebAuthn section 13.4.3) -----------------------------------------------------------------------------


def test_a_challenge_counts_once_even_after_a_wrong_answer(database, holder):
    ceremony = begin_login()
    credential = holder.authenticator.authenticate(ceremony["options"])
    assert complete_login(ceremony, mutated(credential, "signature", flipped)).code == "passkey_login_failed"
    assert complete_login(ceremony, credential).code == "invalid_challenge"


def test_an_answer_is_not_replayed_with_another_challenge(holder):
    first, second = begin_login(), begin_login()
    credential = holder.authenticator.authenticate(first["options"])
    assert complete_login(second, credential).code == "passkey_login_failed"


def test_a_registration_is_not_replayed(account, database):
    ceremony = begin_registration(account.access_token)
    credential = SoftwareAuthenticator(origin=ORIGIN).register(ceremony["options"])
    assert complete_registration(account.access_token, ceremony, credential).status == 201
    assert complete_registration(account.access_token, ceremony, credential).code == "invalid_challenge"
    assert database.count(passkeys) == 1


def test_an_expired_challenge_counts_no_more(database, holder):
    ceremony = begin_login()
    database.execute(update(challenges).values(expires_at=datetime.now(UTC)))
    answer = complete_login(ceremony, holder.authenticator.authenticate(ceremony["options"]))
    assert (answer.status, answer.code) == (400, "invalid_challenge")


def test_a_challenge_of_one_ceremony_is_none_of_the_other(database, account):
    registration = begin_registration(account.access_token)
    login = begin_login()
    device = SoftwareAuthenticator(origin=ORIGIN)
    credential = device.register(registration["options"])
    answer = complete_registration(account.access_token, login, credential)
    assert (answer.status, answer.code) == (400, "invalid_challenge")
    options = {"challenge": registration["options"]["challenge"], "rpId": "localhost"}
    assert complete_login(registration, device.authenticate(options)).code == "invalid_challenge"
    assert database.count(passkeys) == 0


def test_a_registration_challenge_of_somebody_else_counts_for_nobody(database, account):
    other = sign_up("other@example.com")
    ceremony = begin_registration(account.access_token)
    credential = SoftwareAuthenticator(origin=ORIGIN).register(ceremony["options"])
    answer = complete_registration(other.access_token, ceremony, credential)
    assert (answer.status, answer.code) == (400, "invalid_challenge")
    assert database.count(passkeys) == 0


def test_of_forty_parallel_completions_of_one_challenge_one_wins(database, holder):
    ceremony = begin_login()
    credential = holder.authenticator.authenticate(ceremony["options"])
    before = database.count(sessions)
    start = Barrier(40)

    def complete(_number: int) -> int:
        start.wait()
        return complete_login(ceremony, credential).status

    with ThreadPoolExecutor(40) as threads:
        assert Counter(threads.map(complete, range(40))) == {200: 1, 400: 39}
    assert database.count(sessions) == before + 1


# --- What the browser and the authenticator say (sections 7.1 and 7.2) ------------------------------------------------

FOREIGN: list[dict[str, Any]] = [
    {"origin": "https://evil.example"},
    {"origin": "http://localhost:8000.evil.example"},
    {"origin": "http://127.0.0.1:8000"},
    {"origin": "http://localhost"},
    {"cross_origin": True},
    {"top_origin": "https://evil.example"},
    {"user_present": False},
]


@pytest.mark.parametrize("traits", FOREIGN, ids=str)
def test_a_registration_elsewhere_or_without_a_person_is_refused(database, account, traits):
    answer = register_with(account, **traits)
    assert (answer.status, answer.code) == (400, "passkey_rejected")
    assert database.count(passkeys) == 0


@pytest.mark.parametrize("traits", FOREIGN, ids=str)
@pytest.mark.parametrize("alone", [False, True])
def test_a_login_elsewhere_or_without_a_person_is_refused(database, holder, traits, alone):
    before = database.count(sessions)
    answer = log_in_with(holder, alone=alone, **traits)
    assert (answer.status, answer.code) == (401, "passkey_login_failed")
    assert database.count(sessions) == before


def test_a_passkey_alone_takes_user_verification(holder):
    assert log_in_with(holder, alone=True, user_verified=False).code == "passkey_login_failed"
    assert log_in_with(holder, user_verified=False).status == 200


def test_a_stolen_key_without_a_pin_does_not_get_one_and_log_in_alone(database):
    """WebAuthn section 4, uvInitialized: only a login with the password vouches for a PIN that is seen first."""
    holder = enrol(user_verified=False)
    assert log_in_with(holder, alone=True, user_verified=True).code == "passkey_login_failed"
    assert log_in_with(holder, user_verified=False).status == 200
    assert log_in_with(holder, alone=True, user_verified=True).code == "passkey_login_failed"
    assert log_in_with(holder, user_verified=True).status == 200
    assert log_in_with(holder, alone=True).status == 200


def test_a_token_of_a_user_who_is_gone_begins_nothing(database, account):
    """An old key file and a new database, for example."""
    for table in (refresh_tokens, sessions, users):
        database.execute(table.delete())
    answer = as_bearer(account.access_token, "POST", "/webauthn/register/begin", {})
    assert (answer.status, answer.code) == (401, "invalid_token")


def test_a_passkey_for_another_relying_party_is_refused(holder):
    (key,) = holder.authenticator.credentials
    ceremony = begin_login()
    key.rp_id = "evil.example"
    credential = holder.authenticator.authenticate({**ceremony["options"], "rpId": "evil.example"})
    assert complete_login(ceremony, credential).code == "passkey_login_failed"
    other = sign_up("other@example.com")
    ceremony = begin_registration(other.access_token)
    options = {**ceremony["options"], "rp": {"id": "evil.example", "name": "Evil"}}
    credential = SoftwareAuthenticator(origin=ORIGIN).register(options)
    assert complete_registration(other.access_token, ceremony, credential).code == "passkey_rejected"


@pytest.mark.parametrize("member", ["signature", "authenticatorData", "clientDataJSON"])
@pytest.mark.parametrize("change", [flipped, lambda octets: octets[:-1], lambda octets: octets + b"\0", lambda _: b""])
def test_a_tampered_login_is_refused(holder, member, change):
    ceremony = begin_login()
    credential = holder.authenticator.authenticate(ceremony["options"])
    assert complete_login(ceremony, mutated(credential, member, change)).code == "passkey_login_failed"


def test_the_backup_eligibility_of_a_passkey_never_changes(holder):
    assert log_in_with(holder, backup_eligible=True).code == "passkey_login_failed"


# --- Cloned authenticators (section 6.1.1) ----------------------------------------------------------------------------


@pytest.mark.parametrize("back", [1, 2, 5])
def test_a_counter_that_does_not_advance_is_a_clone(database, holder, back):
    for _ in range(5):
        assert holder.log_in().status == 200
    holder.authenticator.credentials[0].sign_count -= back
    assert holder.log_in().code == "passkey_login_failed"
    assert [row.sign_count for row in database.execute(passkeys.select())] == [5]


def test_a_counter_that_falls_to_zero_is_a_clone(holder):
    assert holder.log_in().status == 200
    holder.authenticator.counts = False
    holder.authenticator.credentials[0].sign_count = 0
    assert holder.log_in().code == "passkey_login_failed"


def test_an_authenticator_that_does_not_count_is_none(database):
    holder = enrol(counts=False)
    for _ in range(3):
        assert holder.log_in_alone().status == 200


def test_of_two_parallel_logins_with_one_counter_one_wins(database, holder):
    ceremonies = [begin_login() for _ in range(8)]
    credentials = []
    for ceremony in ceremonies:
        credentials.append(holder.authenticator.authenticate(ceremony["options"]))
        holder.authenticator.credentials[0].sign_count = 0
    start = Barrier(len(ceremonies))

    def complete(number: int) -> int:
        start.wait()
        return complete_login(ceremonies[number], credentials[number]).status

    with ThreadPoolExecutor(len(ceremonies)) as threads:
        assert Counter(threads.map(complete, range(len(ceremonies)))) == {200: 1, 401: 7}


# --- Other people's passkeys ------------------------------------------------------------------------------------------


def test_another_users_passkey_is_no_second_factor(database, holder):
    thief = enrol(sign_up("thief@example.com"))
    ceremony = begin_login(holder.give_password())
    options = {**ceremony["options"], "allowCredentials": []}
    credential = thief.authenticator.authenticate(options)
    assert complete_login(ceremony, credential).code == "passkey_login_failed"
    del credential["response"]["userHandle"]
    ceremony = begin_login(holder.give_password())
    credential = thief.authenticator.authenticate({**ceremony["options"], "allowCredentials": []})
    del credential["response"]["userHandle"]
    assert complete_login(ceremony, credential).code == "passkey_login_failed"


@pytest.mark.parametrize("handle", [None, to_base64url(b"somebody else"), ""])
def test_a_passkey_alone_must_say_whose_it_is(holder, handle):
    ceremony = begin_login()
    credential = holder.authenticator.authenticate(ceremony["options"])
    credential["response"]["userHandle"] = handle
    assert complete_login(ceremony, credential).code == "passkey_login_failed"


def test_a_passkey_that_nobody_has_registered_is_refused(database, log_lines):
    device = SoftwareAuthenticator(origin=ORIGIN)
    device.register(begin_registration(sign_up().access_token)["options"])
    ceremony = begin_login()
    assert complete_login(ceremony, device.authenticate(ceremony["options"])).code == "passkey_login_failed"
    assert log_lines.security_events[-1]["reason"] == "unknown_passkey"


@pytest.mark.parametrize("owner", ["same", "other"])
def test_a_credential_is_registered_once(database, holder, owner):
    (key,) = holder.authenticator.credentials
    token = holder.log_in().json["access_token"] if owner == "same" else sign_up("other@example.com").access_token
    ceremony = begin_registration(token)
    thief = SoftwareAuthenticator(origin=ORIGIN)
    client_data = thief.client_data("webauthn.create", ceremony["options"]["challenge"])
    answer = complete_registration(token, ceremony, attested(thief, key, client_data))
    assert (answer.status, answer.code) == (400, "passkey_rejected")
    assert database.count(passkeys) == 1


def attested(device, key, client_data, **changes):
    """Return the RegistrationResponseJSON for ``key`` by hand, with ``changes`` to the attestation object."""
    data = device.authenticator_data(key, Flags.ATTESTED_CREDENTIAL_DATA)
    data += bytes(16) + len(key.id).to_bytes(2) + key.id + cose_key(key.key)
    document = cbor2.loads(device.attestation_object(key, data, client_data)) | changes
    return {
        "id": to_base64url(key.id),
        "rawId": to_base64url(key.id),
        "type": "public-key",
        "response": {
            "clientDataJSON": to_base64url(client_data),
            "attestationObject": to_base64url(cbor2.dumps(document)),
        },
    }


# --- What no authenticator would send ---------------------------------------------------------------------------------

FORGED: dict[str, Any] = {
    "unknown format": {"fmt": "acme"},
    "a format that we ask nobody for": {"fmt": "apple"},
    "a statement where there must be none": {"attStmt": {"sig": b"x", "alg": -7}},
    "no authenticator data": {"authData": b""},
    "half of it": {"authData": bytes(40)},
    "not bytes": {"authData": "text"},
    "a number as format": {"fmt": 7},
}


@pytest.mark.parametrize("changes", FORGED.values(), ids=FORGED.keys())
def test_a_forged_attestation_object_is_refused(database, account, changes):
    ceremony = begin_registration(account.access_token)
    device = SoftwareAuthenticator(origin=ORIGIN)
    key = Credential(id=bytes(16), rp_id="localhost", user_handle=b"x", key=new_key(device.algorithms[0]))
    client_data = device.client_data("webauthn.create", ceremony["options"]["challenge"])
    answer = complete_registration(account.access_token, ceremony, attested(device, key, client_data, **changes))
    assert (answer.status, answer.code) == (400, "passkey_rejected")
    assert database.count(passkeys) == 0


def test_a_credential_id_of_more_than_1023_bytes_is_refused(database, account):
    ceremony = begin_registration(account.access_token)
    device = SoftwareAuthenticator(origin=ORIGIN)
    key = Credential(id=bytes(1024), rp_id="localhost", user_handle=b"x", key=new_key(device.algorithms[0]))
    client_data = device.client_data("webauthn.create", ceremony["options"]["challenge"])
    assert complete_registration(account.access_token, ceremony, attested(device, key, client_data)).status == 400
    key.id = bytes(1023)
    ceremony = begin_registration(account.access_token)
    client_data = device.client_data("webauthn.create", ceremony["options"]["challenge"])
    assert complete_registration(account.access_token, ceremony, attested(device, key, client_data)).status == 201


def test_the_credentials_id_is_the_attested_one(database, account):
    ceremony = begin_registration(account.access_token)
    credential = SoftwareAuthenticator(origin=ORIGIN).register(ceremony["options"])
    credential["id"] = credential["rawId"] = to_base64url(b"another one")
    assert complete_registration(account.access_token, ceremony, credential).code == "passkey_rejected"


def test_a_public_key_that_is_no_point_of_its_curve_is_refused(database, account):
    ceremony = begin_registration(account.access_token)
    credential = SoftwareAuthenticator(origin=ORIGIN).register(ceremony["options"])
    forged = mutated(credential, "attestationObject", flipped)
    assert complete_registration(account.access_token, ceremony, forged).code == "passkey_rejected"
    assert database.count(passkeys) == 0


def test_a_short_rsa_key_is_refused(database, account):
    ceremony = begin_registration(account.access_token)
    device = SoftwareAuthenticator(origin=ORIGIN)
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    key = Credential(id=bytes(16), rp_id="localhost", user_handle=b"x", key=weak)
    client_data = device.client_data("webauthn.create", ceremony["options"]["challenge"])
    answer = complete_registration(account.access_token, ceremony, attested(device, key, client_data))
    assert (answer.status, answer.code) == (400, "passkey_rejected")


def test_shared_values_in_cbor_cannot_keep_the_service_busy(database, account):
    """Tags 28 and 29: each level names the one before it twice, so a few hundred bytes stand for 2^60 items."""
    bomb = b"\xd8\x1c\x80"
    for level in range(60):
        bomb = b"\xd8\x1c\x82" + bomb + b"\xd8\x1d" + cbor2.dumps(60 - level)
    ceremony = begin_registration(account.access_token)
    credential = SoftwareAuthenticator(origin=ORIGIN).register(ceremony["options"])
    document = cbor2.loads(from_base64url(credential["response"]["attestationObject"]))
    head = cbor2.dumps({"fmt": "none", "authData": document["authData"]})
    credential["response"]["attestationObject"] = to_base64url(b"\xa3" + head[1:] + cbor2.dumps("attStmt") + bomb)
    assert complete_registration(account.access_token, ceremony, credential).code == "passkey_rejected"


def test_a_packed_attestation_by_another_key_is_refused(database, account):
    ceremony = begin_registration(account.access_token)
    device = SoftwareAuthenticator(origin=ORIGIN, attestation="packed")
    key = Credential(id=bytes(16), rp_id="localhost", user_handle=b"x", key=new_key(device.algorithms[0]))
    client_data = device.client_data("webauthn.create", ceremony["options"]["challenge"])
    statement = {"alg": -7, "sig": sign(new_key(device.algorithms[0]), b"something else")}
    credential = attested(device, key, client_data, attStmt=statement)
    assert complete_registration(account.access_token, ceremony, credential).code == "passkey_rejected"


BROKEN: list[Any] = [None, True, 7, "", "!", "A" * 20_000, [], {}, [[]], {"a": {}}, "\u0000", "é", "A"]


@pytest.mark.parametrize("value", BROKEN, ids=lambda value: json.dumps(value)[:20])
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_member_of_an_odd_type_makes_a_server_error(database, holder, value):
    account = sign_up("other@example.com")
    registration = SoftwareAuthenticator(origin=ORIGIN).register(begin_registration(account.access_token)["options"])
    login = holder.authenticator.authenticate(begin_login()["options"])

    def register(credential):
        return complete_registration(account.access_token, begin_registration(account.access_token), credential)

    for template, complete in ((registration, register), (login, lambda c: complete_login(begin_login(), c))):
        for member in ("id", "rawId", "type", "response", *template["response"]):
            credential = copy.deepcopy(template)
            (credential if member in credential else credential["response"])[member] = value
            assert complete(credential).status in {400, 401, 422}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_mutation_of_an_attestation_object_makes_a_server_error(database, account, data):
    ceremony = begin_registration(account.access_token)
    credential = SoftwareAuthenticator(origin=ORIGIN).register(ceremony["options"])
    good = from_base64url(credential["response"]["attestationObject"])
    start = data.draw(st.integers(0, len(good)))
    cut = data.draw(st.integers(0, 8))
    inserted = data.draw(st.binary(max_size=8))
    bad = good[:start] + inserted + good[start + cut :]
    credential["response"]["attestationObject"] = to_base64url(bad)
    status = complete_registration(account.access_token, ceremony, credential).status
    assert status in {201, 400, 403}  # 201: a byte that nothing vouches for, such as the AAGUID's; 403: after that
    database.execute(passkeys.delete())


def test_deeply_nested_cbor_is_refused(account):
    ceremony = begin_registration(account.access_token)
    credential = SoftwareAuthenticator(origin=ORIGIN).register(ceremony["options"])
    credential["response"]["attestationObject"] = to_base64url(b"\x81" * 40_000)
    assert complete_registration(account.access_token, ceremony, credential).code == "passkey_rejected"


def test_a_body_of_more_than_64_kib_is_refused(account):
    ceremony = begin_registration(account.access_token)
    credential = SoftwareAuthenticator(origin=ORIGIN).register(ceremony["options"])
    credential["response"]["attestationObject"] = "A" * 70_000
    assert complete_registration(account.access_token, ceremony, credential).status == 413


# --- What the Security team sees --------------------------------------------------------------------------------------


def test_each_refusal_is_a_security_event(database, holder, log_lines):
    token = holder.log_in().json["access_token"]
    ceremony = begin_registration(token)
    credential = SoftwareAuthenticator(origin=ORIGIN).register(ceremony["options"])
    complete_registration(token, ceremony, credential)
    complete_registration(token, ceremony, credential)
    again = begin_login()
    complete_login(again, mutated(holder.authenticator.authenticate(again["options"]), "signature", flipped))
    complete_login(again, {})
    anonymously("/webauthn/login/begin", {"mfa_token": "x"})
    refused = [event for event in log_lines.security_events if event["outcome"] == "failure"]
    assert [(event["name"], event["reason"], event.get("user_id")) for event in refused] == [
        ("authn_passkey_rejected", "invalid_challenge", holder.account.id),
        ("authn_login_fail", "not_valid", holder.account.id),
        ("authn_login_fail", "invalid_challenge", None),
        ("authn_token_rejected", "invalid_mfa_token", None),
    ]
