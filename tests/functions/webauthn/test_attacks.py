"""Attacks on both WebAuthn ceremonies. Each gets a 4xx response, opens no session and stores no passkey."""

import copy
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from auth_common.database.tables import challenges, passkeys, sessions, throttles
from auth_common.passkeys.registration import MAX_PASSKEYS
from tests.support.factories import PASSWORD, log_out, sign_up, step_up
from tests.support.fuzzing import examples
from tests.support.passkeys import (
    ORIGIN,
    TamperingBrowser,
    begin_and_answer_registration,
    begin_login,
    begin_registration,
    complete_login,
    complete_registration,
    enrol,
    post_without_token,
)
from tests.support.races import send_burst
from tools.authenticator.software_authenticator import (
    Algorithm,
    Credential,
    Flags,
    SoftwareAuthenticator,
    cose_key,
    from_base64url,
    new_key,
    sign,
    to_base64url,
)

pytestmark = [pytest.mark.passkeys, pytest.mark.sqlite]


def mutated(credential, member, change):
    """Return a copy of ``credential`` whose response has ``member`` (base64url) changed."""
    changed = copy.deepcopy(credential)
    changed["response"][member] = to_base64url(change(from_base64url(changed["response"][member])))
    return changed


def flipped(octets):
    return octets[:-1] + bytes([octets[-1] ^ 1])


def rejects(account, ceremony, credential, *, status=400, code="invalid_challenge"):
    """Return whether the completion of a registration is rejected with this status and code."""
    answer = complete_registration(account.access_token, ceremony, credential)
    return (answer.status, answer.code) == (status, code)


# --- Challenges (WebAuthn section 13.4.3) -----------------------------------------------------------------------------


@pytest.mark.asvs("6.7.2")
def test_each_ceremony_has_its_own_challenge_of_256_bits(account):
    begun = [begin_login, lambda: begin_registration(account.access_token)] * 4
    made = [from_base64url(begin()["options"]["challenge"]) for begin in begun]
    assert [len(challenge) for challenge in made] == [32] * 8
    assert len(set(made)) == 8


@pytest.mark.aurora_dsql
@pytest.mark.asvs("6.7.2")
def test_challenge_is_used_up_by_a_wrong_response(database, holder):
    ceremony, credential = holder.begin_and_answer_login()
    assert complete_login(ceremony, mutated(credential, "signature", flipped)).code == "passkey_login_failed"
    assert complete_login(ceremony, credential).code == "invalid_challenge"


@pytest.mark.threat("function-passkey-replay")
def test_response_to_another_challenge_is_rejected(holder):
    first, second = begin_login(), begin_login()
    credential = holder.authenticator.authenticate(first["options"])
    assert complete_login(second, credential).code == "passkey_login_failed"


def test_replayed_registration_is_rejected(account, database):
    ceremony, credential = begin_and_answer_registration(account.access_token)
    assert complete_registration(account.access_token, ceremony, credential).status == 201
    assert rejects(account, ceremony, credential)
    assert database.count(passkeys) == 1


def test_expired_registration_challenge_is_rejected(database, account):
    ceremony, credential = begin_and_answer_registration(account.access_token)
    database.execute(update(challenges).values(expires_at=datetime.now(UTC)))
    assert rejects(account, ceremony, credential)
    assert database.count(passkeys) == 0


def test_registration_of_a_revoked_session_uses_up_no_challenge(database, account):
    ceremony, credential = begin_and_answer_registration(account.access_token)
    log_out(account.access_token)
    assert rejects(account, ceremony, credential, status=401, code="invalid_token")
    assert database.count(challenges) == 1


@pytest.mark.asvs("2.2.3", "2.3.1")
def test_challenge_of_another_ceremony_or_user_is_rejected(database, account):
    device = SoftwareAuthenticator(origin=ORIGIN)
    registration, login = begin_registration(account.access_token), begin_login()
    credential = device.register(registration["options"])
    assert rejects(account, login, credential)
    options = {"challenge": registration["options"]["challenge"], "rpId": "localhost"}
    assert complete_login(registration, device.authenticate(options)).code == "invalid_challenge"
    assert rejects(sign_up("other@example.com"), registration, credential)
    assert database.count(passkeys) == 0


@pytest.mark.asvs("2.3.4", "15.4.2")
@pytest.mark.threat("function-race")
@pytest.mark.aurora_dsql
def test_concurrent_completions_of_one_challenge_open_one_session(database, holder):
    answered = holder.begin_and_answer_login()
    before = database.count(sessions)
    assert send_burst(20, lambda _: complete_login(*answered)) == {200: 1, 400: 19}
    assert database.count(sessions) == before + 1


@pytest.mark.aurora_dsql
def test_concurrent_completions_of_one_registration_store_one_passkey(database, account):
    answered = begin_and_answer_registration(account.access_token)
    assert send_burst(20, lambda _: complete_registration(account.access_token, *answered)) == {201: 1, 400: 19}
    assert database.count(passkeys) == 1


@pytest.mark.aurora_dsql
@pytest.mark.asvs("2.3.4", "15.4.2")
@pytest.mark.parametrize("room", [1, 3])
def test_parallel_registrations_of_one_step_up_add_one_passkey(database, holder, room):
    """Each registration begins before the first one completes, and has its own challenge."""
    token = holder.log_in().json["access_token"]
    (row,) = database.execute(passkeys.select())
    for _ in range(MAX_PASSKEYS - 1 - room):
        database.execute(passkeys.insert().values({**row._asdict(), "id": uuid4(), "credential_id": uuid4().bytes}))
    ceremonies = [begin_registration(token) for _ in range(12)]
    credentials = [SoftwareAuthenticator(origin=ORIGIN).register(ceremony["options"]) for ceremony in ceremonies]
    statuses = send_burst(12, lambda number: complete_registration(token, ceremonies[number], credentials[number]))
    assert statuses == {201: 1, 409 if room == 1 else 403: 11}
    assert database.count(passkeys) == MAX_PASSKEYS - room + 1


# --- Client data and authenticator data (sections 7.1 and 7.2) --------------------------------------------------------

ELSEWHERE = ["https://evil.example", f"{ORIGIN}.evil.example", "http://127.0.0.1:8000", "http://localhost"]
FOREIGN: list[dict[str, Any]] = [
    *({"origin": origin} for origin in ELSEWHERE),
    *({"cross_origin": True}, {"top_origin": "https://evil.example"}, {"user_present": False}),
]


@pytest.mark.threat("page-look-alike")
@pytest.mark.parametrize("traits", FOREIGN, ids=str)
def test_ceremony_elsewhere_or_without_the_user_is_rejected(database, holder, traits):
    token = holder.log_in().json["access_token"]
    ceremony = begin_registration(token)
    credential = SoftwareAuthenticator(**{"origin": ORIGIN, **traits}).register(ceremony["options"])
    answer = complete_registration(token, ceremony, credential)
    assert (answer.status, answer.code) == (400, "passkey_rejected")
    before = database.count(sessions)
    for alone in (False, True):
        answer = holder.log_in_with(alone=alone, **traits)
        assert (answer.status, answer.code) == (401, "passkey_login_failed")
    assert (database.count(sessions), database.count(passkeys)) == (before, 1)


@pytest.mark.asvs("6.5.7")
def test_login_with_a_passkey_alone_requires_user_verification(holder):
    assert holder.log_in_with(alone=True, user_verified=False).code == "passkey_login_failed"
    assert holder.log_in_with(user_verified=False).status == 200


@pytest.mark.asvs("6.5.7")
@pytest.mark.threat("caller-stolen-security-key")
def test_stolen_key_with_a_newly_set_pin_cannot_log_in_alone(database):
    """The first use of a PIN counts only in a login with the password (WebAuthn section 4, uvInitialized)."""
    holder = enrol(user_verified=False)
    assert holder.log_in_with(alone=True, user_verified=True).code == "passkey_login_failed"
    assert holder.log_in_with(user_verified=False).status == 200
    assert holder.log_in_with(alone=True, user_verified=True).code == "passkey_login_failed"
    assert holder.log_in_with(user_verified=True).status == 200
    assert holder.log_in_with(alone=True).status == 200


def test_passkey_of_another_relying_party_is_rejected(holder):
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


@pytest.mark.threat("function-passkey-replay")
@pytest.mark.parametrize("member", ["signature", "authenticatorData", "clientDataJSON"])
def test_tampered_login_is_rejected(holder, member):
    for change in (flipped, lambda octets: octets[:-1], lambda octets: octets + b"\0", lambda _: b""):
        ceremony, credential = holder.begin_and_answer_login()
        assert complete_login(ceremony, mutated(credential, member, change)).code == "passkey_login_failed"


# --- Cloned authenticators (section 6.1.1) ----------------------------------------------------------------------------


def test_authenticator_that_does_not_count_logs_in(database):
    holder = enrol(counts=False)
    assert [holder.log_in_with_passkey_alone().status for _ in range(3)] == [200] * 3


@pytest.mark.aurora_dsql
def test_only_one_of_concurrent_logins_with_one_counter_succeeds(database, holder):
    ceremonies = [begin_login() for _ in range(8)]
    credentials = []
    for ceremony in ceremonies:
        credentials.append(holder.authenticator.authenticate(ceremony["options"]))
        holder.authenticator.credentials[0].sign_count = 0
    assert send_burst(8, lambda number: complete_login(ceremonies[number], credentials[number])) == {200: 1, 401: 7}


#: Sign counts are unsigned numbers of 32 bits. Some do not fit into a signed one. The highest has no successor.
COUNTS = [5, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1]


@pytest.mark.asvs("1.4.2")
@pytest.mark.threat("function-passkey-replay")
@pytest.mark.aurora_dsql
def test_counter_that_does_not_advance_is_rejected_as_a_clone(database, holder):
    device, (key,) = holder.authenticator, holder.authenticator.credentials
    for count in COUNTS:
        key.sign_count = count - 1
        assert holder.log_in().status == 200
        for not_advanced in (count, count - 1, 1, 0):  # 0 is the counter of an authenticator that does not count
            key.sign_count, device.counts = max(not_advanced - 1, 0), not_advanced > 0
            assert holder.log_in().code == "passkey_login_failed", (count, not_advanced)
        device.counts = True
        assert [row.sign_count for row in database.execute(passkeys.select())] == [count]


@pytest.mark.aurora_dsql
def test_new_passkey_with_a_high_counter_is_accepted(database, account):
    key = own_key(sign_count=2**32 - 1)
    accepted = accepted_of(account, {"high": key}, lambda device, data, key: attested(device, key, data))
    assert accepted == {"high": (201, None)}
    assert [row.sign_count for row in database.execute(passkeys.select())] == [2**32 - 1]


# --- Passkeys of other users ------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("2.3.1")
@pytest.mark.threat("function-second-factor-bypass")
def test_passkey_of_another_user_is_rejected_as_second_factor(database, holder):
    attacker = enrol(sign_up("attacker@example.com"))
    for without_handle in (False, True):
        ceremony = begin_login(holder.get_mfa_token())
        credential = attacker.authenticator.authenticate({**ceremony["options"], "allowCredentials": []})
        if without_handle:
            del credential["response"]["userHandle"]
        assert complete_login(ceremony, credential).code == "passkey_login_failed"


def test_own_passkey_with_another_user_handle_is_rejected(database, holder, log_lines):
    own, other = UUID(holder.account.id), UUID(sign_up("other@example.com").id)
    before = database.count(sessions)
    for handle in (other.bytes, b"another user", str(own).encode(), own.bytes[:-1]):
        ceremony, credential = holder.begin_and_answer_login(holder.get_mfa_token())
        credential["response"]["userHandle"] = to_base64url(handle)
        answer = complete_login(ceremony, credential)
        assert (answer.status, answer.code) == (401, "passkey_login_failed")
        assert log_lines.security_events[-1]["reason"] == "passkey_of_another_user"
    assert database.count(sessions) == before
    assert holder.log_in().status == 200


def test_passkey_alone_with_wrong_user_handle_is_rejected(holder):
    for handle in (None, to_base64url(b"another user"), ""):
        ceremony, credential = holder.begin_and_answer_login()
        credential["response"]["userHandle"] = handle
        assert complete_login(ceremony, credential).code == "passkey_login_failed", handle


def test_unregistered_passkey_is_rejected(database, log_lines):
    device = SoftwareAuthenticator(origin=ORIGIN)
    device.register(begin_registration(sign_up().access_token)["options"])
    ceremony = begin_login()
    assert complete_login(ceremony, device.authenticate(ceremony["options"])).code == "passkey_login_failed"
    assert log_lines.security_events[-1]["reason"] == "unknown_passkey"


@pytest.mark.aurora_dsql
@pytest.mark.parametrize("owner", ["same", "other"])
def test_credential_cannot_be_registered_twice(database, holder, owner):
    (key,) = holder.authenticator.credentials
    account = sign_up("other@example.com")
    if owner == "same":
        account = replace(holder.account, access_token=holder.log_in().json["access_token"])
    assert accepted_of(account, {"again": key}, lambda device, data, key: attested(device, key, data)) == {}
    assert database.count(passkeys) == 1


def own_key(**traits):
    usual = {"id": bytes(16), "rp_id": "localhost", "user_handle": b"x", "key": new_key(Algorithm.ES256)}
    return Credential(**(usual | traits))


def attested(device, key, client_data, *, public_key=None, **changes):
    """Return a handmade RegistrationResponseJSON for ``key``, with ``changes`` to the attestation object."""
    data = device.authenticator_data(key, Flags.ATTESTED_CREDENTIAL_DATA)
    data += bytes(16) + len(key.id).to_bytes(2) + key.id + (public_key or cose_key(key.key))
    document = cbor2.loads(device.attestation_object(key, data, client_data)) | changes
    response = {
        "clientDataJSON": to_base64url(client_data),
        "attestationObject": to_base64url(cbor2.dumps(document)),
    }
    return {"id": to_base64url(key.id), "rawId": to_base64url(key.id), "type": "public-key", "response": response}


# --- Forged responses -------------------------------------------------------------------------------------------------

FORGED: dict[str, Any] = {
    **{f"format {name}": {"fmt": name} for name in ("acme", "apple", 7)},
    "a statement with the format none": {"attStmt": {"sig": b"x", "alg": -7}},
    **{f"data {data!r}": {"authData": data} for data in (b"", bytes(40), "text")},
    "data of a login, without a key": {"authData": sha256(b"localhost").digest() + b"\x05" + bytes(4)},
}


def accepted_of(account, cases, forge):
    """Complete a registration with the result of ``forge`` for each case. Return the cases that are not rejected."""
    outcomes = {}
    for kind, case in cases.items():
        ceremony = begin_registration(account.access_token)
        device = SoftwareAuthenticator(origin=ORIGIN)
        client_data = device.client_data("webauthn.create", ceremony["options"]["challenge"])
        answer = complete_registration(account.access_token, ceremony, forge(device, client_data, case))
        outcomes[kind] = (answer.status, answer.json.get("code"))
    return {kind: outcome for kind, outcome in outcomes.items() if outcome != (400, "passkey_rejected")}


def test_forged_attestation_object_is_rejected(database, account):
    statement = {"alg": -7, "sig": sign(new_key(Algorithm.ES256), b"something else")}
    cases = {**FORGED, "packed by another key": {"fmt": "packed", "attStmt": statement}}
    assert accepted_of(account, cases, lambda device, data, case: attested(device, own_key(), data, **case)) == {}
    assert database.count(passkeys) == 0


def test_credential_id_of_more_than_1023_bytes_is_rejected(database, account):
    sizes = {size: size for size in (1024, 1023)}
    accepted = accepted_of(account, sizes, lambda device, data, size: attested(device, own_key(id=bytes(size)), data))
    assert accepted == {1023: (201, None)}


@pytest.mark.asvs("11.6.1")
def test_credential_whose_id_or_public_key_was_changed_is_rejected(database, account):
    """The credential id differs from the attested id, or the key is not a point on its curve."""
    renamed = to_base64url(b"another one")
    for change in (
        lambda credential: {**credential, "id": renamed, "rawId": renamed},
        lambda credential: mutated(credential, "attestationObject", flipped),
    ):
        ceremony, credential = begin_and_answer_registration(account.access_token)
        assert rejects(account, ceremony, change(credential), code="passkey_rejected")
    assert database.count(passkeys) == 0


def ec2(curve, algorithm, identifier):
    """Return a COSE_Key on ``curve`` that claims to be for ``algorithm``."""
    point = ec.generate_private_key(curve).public_key().public_numbers()
    size = (curve.key_size + 7) // 8
    return cbor2.dumps({1: 2, 3: algorithm, -1: identifier, -2: point.x.to_bytes(size), -3: point.y.to_bytes(size)})


def rsa_key(algorithm):
    return cbor2.dumps({1: 3, 3: algorithm, -1: RSA.n.to_bytes(256), -2: RSA.e.to_bytes(3)})


def okp(algorithm, identifier, octets):
    return cbor2.dumps({1: 1, 3: algorithm, -1: identifier, -2: octets})


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key().public_numbers()
ED25519 = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
ED448 = ed448.Ed448PrivateKey.generate().public_key().public_bytes_raw()
ES256, EDDSA, ES384, ES512, RS256, ML_DSA_44 = -7, -8, -35, -36, -257, -48

NOT_OFFERED: dict[str, bytes] = {
    "ES384": ec2(ec.SECP384R1(), ES384, 2),
    "ES384 on P-256": ec2(ec.SECP256R1(), ES384, 1),
    "ES256K": ec2(ec.SECP256K1(), -47, 8),
    "PS256": rsa_key(-37),
    "RS1": rsa_key(-65535),
    "Ed448": okp(EDDSA, 7, ED448),
    "Ed448 by its own name": okp(-53, 7, ED448),
    "ML-DSA-44": cbor2.dumps({1: 7, 3: ML_DSA_44, -1: bytes(1312)}),
    "HMAC": cbor2.dumps({1: 4, 3: 5, -1: bytes(32)}),
    "no algorithm": cbor2.dumps({1: 2, -1: 1, -2: bytes(32), -3: bytes(32)}),
    "P-384 as ES256": ec2(ec.SECP384R1(), ES256, 2),
    "P-521 as ES256": ec2(ec.SECP521R1(), ES256, 3),
    "P-256 as ES512": ec2(ec.SECP256R1(), ES512, 1),
    "P-384 as ES512": ec2(ec.SECP384R1(), ES512, 2),
    "P-256 as RS256": ec2(ec.SECP256R1(), RS256, 1),
    "P-256 as EdDSA": ec2(ec.SECP256R1(), EDDSA, 1),
    "RSA as ES256": rsa_key(ES256),
    "RSA as EdDSA": rsa_key(EDDSA),
    "Ed25519 as ES256": okp(ES256, 6, ED25519),
    "Ed25519 as RS256": okp(RS256, 6, ED25519),
    "Ed25519 on the curve of X25519": okp(EDDSA, 4, ED25519),
    "a point of P-256 on P-384": ec2(ec.SECP256R1(), ES256, 2),
    "ML-DSA-44 as ES256": cbor2.dumps({1: 7, 3: ES256, -1: bytes(1312)}),
}


def test_key_of_an_algorithm_that_was_not_offered_is_rejected(database, account):
    """A key of another type or curve than its algorithm's is rejected too, because it would be weak or unusable."""
    offered = begin_registration(account.access_token)["options"]["pubKeyCredParams"]
    assert [parameters["alg"] for parameters in offered] == [EDDSA, ES256, ES512, RS256]
    weak = cose_key(rsa.generate_private_key(public_exponent=65537, key_size=1024))
    cases = {**NOT_OFFERED, "RSA of 1024 bits": weak}
    assert accepted_of(account, cases, lambda d, data, case: attested(d, own_key(), data, public_key=case)) == {}
    assert database.count(passkeys) == 0


def test_shared_values_in_cbor_are_rejected(database, account):
    """With the tags 28 and 29, each level refers twice to the previous one. So 500 bytes expand to 2^60 items."""
    bomb = b"\xd8\x1c\x80"
    for level in range(60):
        bomb = b"\xd8\x1c\x82" + bomb + b"\xd8\x1d" + cbor2.dumps(60 - level)
    ceremony, credential = begin_and_answer_registration(account.access_token)
    document = cbor2.loads(from_base64url(credential["response"]["attestationObject"]))
    head = cbor2.dumps({"fmt": "none", "authData": document["authData"]})
    credential["response"]["attestationObject"] = to_base64url(b"\xa3" + head[1:] + cbor2.dumps("attStmt") + bomb)
    assert complete_registration(account.access_token, ceremony, credential).code == "passkey_rejected"


BROKEN: list[Any] = [None, True, 7, "", "!", "A" * 20_000, [], {}, [[]], {"a": {}}, "\u0000", "é", "A"]


@pytest.mark.asvs("15.3.5")
def test_member_of_an_unexpected_type_causes_no_server_error(database, holder):
    account = sign_up("other@example.com")
    registration = SoftwareAuthenticator(origin=ORIGIN).register(begin_registration(account.access_token)["options"])
    login = holder.authenticator.authenticate(begin_login()["options"])

    def register(credential):
        return complete_registration(account.access_token, begin_registration(account.access_token), credential)

    for template, complete in ((registration, register), (login, lambda c: complete_login(begin_login(), c))):
        for member in ("id", "rawId", "type", "response", *template["response"]):
            database.execute(throttles.delete())
            for value in BROKEN:
                credential = copy.deepcopy(template)
                (credential if member in credential else credential["response"])[member] = value
                assert complete(credential).status in {400, 401, 422}, (member, value)


@examples(60)
@given(data=st.data())
def test_mutated_attestation_object_causes_no_server_error(database, account, data):
    database.execute(throttles.delete())
    ceremony, credential = begin_and_answer_registration(account.access_token)
    good = from_base64url(credential["response"]["attestationObject"])
    start = data.draw(st.integers(0, len(good)))
    cut = data.draw(st.integers(0, 8))
    inserted = data.draw(st.binary(max_size=8))
    bad = good[:start] + inserted + good[start + cut :]
    credential["response"]["attestationObject"] = to_base64url(bad)
    # 201 if the changed byte is unsigned, such as a byte of the AAGUID.
    assert completed(database, account, ceremony, credential) in {201, 400}


def completed(database, account, ceremony, credential):
    """Complete a registration and return its status. Afterwards the account has no passkey, and may add one."""
    status = complete_registration(account.access_token, ceremony, credential).status
    if status == 201:
        database.execute(passkeys.delete())
        step_up(account.access_token, {"current_password": PASSWORD})
    return status


#: Any short JSON value.
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=5,
)
MEMBERS = [
    *("id", "rawId", "type", "response", "authenticatorAttachment", "clientExtensionResults"),
    *("clientDataJSON", "attestationObject", "transports", "authenticatorData", "signature", "userHandle", "new"),
]


def change(octets: bytes, start: int, cut: int, inserted: bytes | int) -> bytes:
    """Return ``octets`` without ``cut`` bytes at ``start``, and with ``inserted`` there.

    If ``inserted`` is a number, the inserted bytes are a copy from this offset. Both numbers may exceed the length,
    because the length of a signature varies.
    """
    if isinstance(inserted, int):
        place = inserted % len(octets)
        inserted = octets[place : place + 20]
    start %= len(octets) + 1
    return octets[:start] + inserted + octets[start + cut :]


def mutate(data, credential):
    """Change or delete some members of a response: their type, their size or their bytes."""
    numbers = st.integers(0, 500)
    for member in data.draw(st.lists(st.sampled_from(MEMBERS), min_size=1, max_size=3, unique=True)):
        response = credential.get("response")
        document = response if isinstance(response, dict) and member in response else credential
        how = data.draw(st.sampled_from(["bytes", "anything", "text", "absent"]))
        before = document.get(member)
        if how == "absent":
            document.pop(member, None)
        elif how == "bytes" and isinstance(before, str) and len(before) > len("cross-platform"):
            start, cut, inserted = data.draw(st.tuples(numbers, st.integers(0, 40), numbers | st.binary(max_size=40)))
            document[member] = to_base64url(change(from_base64url(before), start, cut, inserted))
        else:
            document[member] = data.draw(st.text("A-_=+/ \n", max_size=2_000) if how == "text" else ANYTHING)


@pytest.mark.asvs("2.2.1")
@examples(80)
@given(data=st.data())
def test_mutated_registration_response_causes_no_server_error(database, account, data):
    database.execute(throttles.delete())
    ceremony, credential = begin_and_answer_registration(account.access_token)
    mutate(data, credential)
    assert completed(database, account, ceremony, credential) in {201, 400, 413, 422}


@pytest.fixture
def mfa_token(holder):
    return holder.get_mfa_token()


@pytest.mark.asvs("11.2.5")
@pytest.mark.parametrize("alone", [False, True])
@examples(80)
@given(data=st.data())
def test_mutated_login_response_neither_logs_in_nor_causes_500(database, holder, mfa_token, alone, data):
    database.execute(throttles.delete())
    ceremony = begin_login(None if alone else mfa_token)
    good = holder.authenticator.authenticate(ceremony["options"])
    bad = copy.deepcopy(good)
    mutate(data, bad)
    before = database.count(sessions)
    status = complete_login(ceremony, bad).status
    assert status in {200, 400, 401, 413, 422}
    # A login succeeds only if the mutation changed spellings, or unsigned members such as the attachment.
    assert status != 200 or said(bad) == said(good)
    assert database.count(sessions) == before + (status == 200)


def said(credential):
    """Return the decoded members that identify and authenticate a login, without the optional user handle."""
    signed = ("clientDataJSON", "authenticatorData", "signature")
    return (
        credential["type"],
        *(urlsafe_b64decode(credential[name] + "===") for name in ("id", "rawId")),
        *(urlsafe_b64decode(credential["response"][name] + "===") for name in signed),
    )


BOMBS: dict[str, bytes] = {
    "nested arrays": b"\x81" * 45_000,
    "nested maps": b"\xa1\x00" * 20_000,
    "nested tags": b"\xc6" * 45_000,
    "arrays in a map's key": b"\xa1" + b"\x81" * 40_000,
    "an array of 2^64 items": b"\x9b" + b"\xff" * 8,
    "an array of 2^32 items": b"\x9a" + b"\xff" * 4 + b"\x00" * 40_000,
    "a map of 2^64 pairs": b"\xbb" + b"\xff" * 8,
    "arrays of 2^64 items in one another": (b"\x9b" + b"\xff" * 8) * 4_000,
    "a string of 2^64 bytes": b"\x5b" + b"\xff" * 8,
    "a text of 2^63 bytes": b"\x7b\x7f" + b"\xff" * 7,
    "an indefinite array": b"\x9f" * 40_000,
    "an indefinite map": b"\xbf" * 40_000,
    "an indefinite string": b"\x5f" + b"\x41\x00" * 20_000,
    "an indefinite text": b"\x7f" + b"\x61a" * 20_000,
    "a number of 40 000 bytes": b"\xc2\x59\x9c\x40" + b"\xff" * 40_000,
    "a decimal fraction of 10^(2^63)": b"\xc4\x82\x1b\x7f" + b"\xff" * 7 + b"\x01",
    "a regular expression": b"\xd8\x23\x6f(a+)+$aaaaaaaaa!",
}


PLACES = ["attestation object", "attestation statement", "public key", "extensions"]


def with_bomb(device, client_data, bomb, place):
    """Return a registration response with ``bomb`` at ``place``."""
    if place == "public key":
        return attested(device, own_key(), client_data, public_key=bomb)
    credential = attested(device, own_key(), client_data)
    document = cbor2.loads(from_base64url(credential["response"]["attestationObject"]))
    data = document["authData"]
    head = cbor2.dumps({"fmt": "none", "authData": data})[1:]
    flags = bytes([data[32] | Flags.EXTENSION_DATA])
    octets = {
        "attestation object": bomb,
        "attestation statement": b"\xa3" + head + cbor2.dumps("attStmt") + bomb,
        "extensions": cbor2.dumps({**document, "authData": data[:32] + flags + data[33:] + bomb}),
    }[place]
    credential["response"]["attestationObject"] = to_base64url(octets)
    return credential


@pytest.mark.asvs("1.5.2", "15.2.2")
@pytest.mark.threat("function-slow-input")
@pytest.mark.parametrize("place", PLACES)
def test_cbor_bomb_in_a_registration_is_rejected_at_once(database, account, place):
    slow = {}

    def forge(device, client_data, bomb):
        slow[bomb] = -time.process_time()
        return with_bomb(device, client_data, bomb, place)

    for kind, bomb in BOMBS.items():
        assert accepted_of(account, {kind: bomb}, forge) == {}
        # An ordinary request takes 20 ms. The limit is for a busy machine.
        assert slow[bomb] + time.process_time() < 1, kind


def test_cbor_bomb_in_a_login_is_rejected_at_once(holder):
    for kind, bomb in BOMBS.items():
        ceremony, credential = holder.begin_and_answer_login()
        data = from_base64url(credential["response"]["authenticatorData"])
        with_extensions = data[:32] + bytes([data[32] | Flags.EXTENSION_DATA]) + data[33:] + bomb
        credential["response"]["authenticatorData"] = to_base64url(with_extensions)
        begin = time.process_time()
        answer = complete_login(ceremony, credential)
        assert time.process_time() - begin < 1, kind
        assert (answer.status, answer.code) == (401, "passkey_login_failed"), kind


#: Client data of a valid ceremony, changed so that two JSON parsers may read different values.
ODD_CLIENT_DATA: dict[str, Callable[[str], bytes]] = {
    "a lone surrogate as another member's value": lambda text: (text[:-1] + ',"x":"\\ud800"}').encode(),
    "a lone surrogate as another member's name": lambda text: (text[:-1] + ',"\\udfff":1}').encode(),
    "a lone surrogate in bytes": lambda text: (text[:-1] + ',"x":"\ud800"}').encode(errors="surrogatepass"),
    "a lone surrogate in the origin": lambda text: text.replace("localhost", "localhost\\ud800").encode(),
    "a lone surrogate in the challenge": lambda text: text.replace('"challenge":"', '"challenge":"\\udc00').encode(),
    "a lone surrogate in the type": lambda text: text.replace('"type":"', '"type":"\\ud800').encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "two origins": lambda text: ('{"origin":"https://evil.example",' + text[1:]).encode(),
    "two types": lambda text: ('{"type":"payment.get",' + text[1:]).encode(),
    "crossOrigin twice": lambda text: ('{"crossOrigin":true,' + text[1:]).encode(),
    "NaN": lambda text: (text[:-1] + ',"x":NaN}').encode(),
    "nested too deep": lambda text: (text[:-1] + ',"x":' + "[" * 20_000 + "]" * 20_000 + "}").encode(),
    "no object": lambda text: f"[{text}]".encode(),
    "something behind it": lambda text: f"{text}{text}".encode(),
}


@pytest.mark.asvs("1.5.3")
def test_ambiguous_client_data_is_rejected(database, holder, log_lines):
    account = sign_up("other@example.com")
    outcomes: dict[tuple[str, object], object] = {}
    for kind, write in ODD_CLIENT_DATA.items():
        database.execute(throttles.delete())
        ceremony = begin_registration(account.access_token)
        answer = complete_registration(
            account.access_token, ceremony, TamperingBrowser(write).register(ceremony["options"])
        )
        outcomes[kind, "registration"] = (answer.status, answer.code, log_lines.security_events[-1]["reason"])
        browser = TamperingBrowser(write, credentials=holder.authenticator.credentials)
        for token in (None, holder.get_mfa_token()):
            ceremony = begin_login(token)
            answer = complete_login(ceremony, browser.authenticate(ceremony["options"]))
            outcomes[kind, bool(token)] = (answer.status, answer.code, log_lines.security_events[-1]["reason"])
    expected: dict[object, object] = {
        "registration": (400, "passkey_rejected", "not_valid"),
        False: (401, "passkey_login_failed", "not_valid"),
        True: (401, "passkey_login_failed", "not_valid"),
    }
    assert {case: outcome for case, outcome in outcomes.items() if outcome != expected[case[1]]} == {}


def test_registration_larger_than_64_kib_returns_413(account):
    ceremony, credential = begin_and_answer_registration(account.access_token)
    credential["response"]["attestationObject"] = "A" * 70_000
    assert complete_registration(account.access_token, ceremony, credential).status == 413


# --- Security events --------------------------------------------------------------------------------------------------


@pytest.mark.asvs("16.3.1")
def test_each_rejection_is_a_security_event(database, holder, log_lines):
    token = holder.log_in().json["access_token"]
    ceremony, credential = begin_and_answer_registration(token)
    complete_registration(token, ceremony, credential)
    complete_registration(token, ceremony, credential)
    again = begin_login()
    complete_login(again, mutated(holder.authenticator.authenticate(again["options"]), "signature", flipped))
    complete_login(again, {})
    post_without_token("/webauthn/login/begin", {"mfa_token": "x"})
    refused = [event for event in log_lines.security_events if event["outcome"] == "failure"]
    assert [(event["name"], event["reason"], event.get("user_id")) for event in refused] == [
        ("authn_passkey_rejected", "invalid_challenge", holder.account.id),
        ("authn_login_fail", "not_valid", holder.account.id),
        ("authn_login_fail", "invalid_challenge", None),
        ("authn_token_rejected", "invalid_mfa_token", None),
    ]
