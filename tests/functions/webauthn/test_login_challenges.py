"""Challenges of logins: they need no row and no rate limit until a response, and accept one response."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID, uuid4

import pytest

from auth_common.database.tables import audit_events, challenges, sessions, throttles, users
from tests.support.clocks import clock_off_by
from tests.support.databases import start_fresh_environment
from tests.support.factories import EMAIL, erase, log_in, refresh, sign_up
from tests.support.passkeys import (
    begin_and_answer_registration,
    begin_login,
    call_webauthn,
    complete_login,
    complete_registration,
    enrol,
    post_without_token,
)
from tests.support.races import send_at_once, send_burst, while_a_passkey_is_verified

pytestmark = [pytest.mark.passkeys]

INVALID_CHALLENGE = (400, "invalid_challenge")
LOGIN_FAILED = (401, "passkey_login_failed")


def outcome(answer):
    return answer.status, answer.json.get("code")


# --- Attackers who begin many logins ----------------------------------------------------------------------------------


@pytest.mark.asvs("2.4.1", "6.3.1")
@pytest.mark.threat("function-lockout-of-others")
def test_thousand_begun_logins_stop_no_login_of_their_client_ip(database, holder):
    tables = (challenges, throttles, audit_events)
    before = [database.count(table) for table in tables]
    assert {post_without_token("/webauthn/login/begin", {}).status for _ in range(1_001)} == {200}
    assert [database.count(table) for table in tables] == before
    assert (holder.log_in().status, holder.log_in_with_passkey_alone().status) == (200, 200)


@pytest.mark.aurora_dsql
def test_responses_without_a_valid_login_store_a_bounded_number_of_rows(database, holder, monkeypatch):
    monkeypatch.setenv("THROTTLE_PASSKEY_PER_SOURCE", "5")
    start_fresh_environment()
    for _ in range(20):
        complete_login(begin_login(), {})
    assert database.count(challenges) == 5


# --- One response -----------------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("2.3.4", "6.7.2")
@pytest.mark.threat("function-passkey-replay")
@pytest.mark.parametrize("with_password", [True, False])
def test_login_challenge_is_accepted_once(database, holder, with_password):
    """A second response with a higher counter, in another environment or with another spelling is rejected."""
    ceremony = begin_login(holder.get_mfa_token() if with_password else None)
    first = holder.authenticator.authenticate(ceremony["options"])
    second = holder.authenticator.authenticate(ceremony["options"])
    assert complete_login(ceremony, first).status == 200
    identifier = ceremony["challenge_id"]
    for spelling in (identifier, identifier.lower(), f"{identifier}==", f"\n{identifier}", f"{identifier}A"):
        for credential in (first, second):
            assert outcome(complete_login({"challenge_id": spelling}, credential)) == INVALID_CHALLENGE, spelling
    start_fresh_environment()
    assert outcome(complete_login(ceremony, second)) == INVALID_CHALLENGE


@pytest.mark.aurora_dsql
def test_concurrent_responses_to_one_challenge_open_one_session(database, holder):
    ceremony = begin_login(holder.get_mfa_token())
    credentials = [holder.authenticator.authenticate(ceremony["options"]) for _ in range(8)]
    before = database.count(sessions)
    assert send_burst(8, lambda number: complete_login(ceremony, credentials[number])) == {200: 1, 400: 7}
    assert database.count(sessions) == before + 1


#: A challenge id has 108 bytes, so its base64url needs no padding and has no unused bits.
RESPELLINGS = {
    "lower case": str.lower,
    "padding": lambda text: f"{text}=",
    "padding twice": lambda text: f"{text}==",
    "padding inside": lambda text: f"{text[:4]}={text[4:]}",
    "newline before": lambda text: f"\n{text}",
    "newline after": lambda text: f"{text}\n",
    "space": lambda text: f"{text[:40]} {text[40:]}",
    "foreign character": lambda text: f"{text[:40]}!{text[40:]}",
    "non-ASCII character": lambda text: f"{text}\u00e9",
    "base64": lambda text: text.replace("-", "+").replace("_", "/"),
    "longer": lambda text: f"{text}A",
}


@pytest.mark.sqlite
@pytest.mark.parametrize("respell", RESPELLINGS.values(), ids=RESPELLINGS)
def test_challenge_id_in_another_spelling_is_rejected(database, holder, respell):
    """It is rejected before and after the response with the issued spelling, which is accepted."""
    ceremony, credential = holder.begin_and_answer_login()
    while not {"-", "_"} <= set(ceremony["challenge_id"]):
        ceremony, credential = holder.begin_and_answer_login()
    other = {**ceremony, "challenge_id": respell(ceremony["challenge_id"])}
    assert other != ceremony
    assert outcome(complete_login(other, credential)) == INVALID_CHALLENGE
    assert complete_login(ceremony, credential).status == 200
    assert outcome(complete_login(other, credential)) == INVALID_CHALLENGE


# --- Forged, expired and other challenges -----------------------------------------------------------------------------


def changed(challenge_id, position, octets):
    content = bytearray(urlsafe_b64decode(challenge_id + "=" * (-len(challenge_id) % 4)))
    content[position : position + len(octets)] = octets
    return urlsafe_b64encode(content).decode().rstrip("=")


@pytest.mark.sqlite
@pytest.mark.threat("function-passkey-replay")
def test_changed_or_invented_challenge_id_is_rejected(database, holder, monkeypatch):
    ceremony, credential = holder.begin_and_answer_login()
    good = ceremony["challenge_id"]
    user = UUID(holder.account.id).bytes
    made_up = (good * 2, "A" * 144, "A" * 256, "é" * 144, "\x00", "not one of ours", str(uuid4()))
    forged = [
        *(changed(good, position, b"\x01\x02\x03") for position in range(0, 105, 3)),
        *(changed(good, position, user) for position in range(32, 92)),
        *(good[:length] for length in (0, 1, 42, len(good) - 1)),
        *made_up,
    ]
    monkeypatch.setenv("THROTTLE_PASSKEY_PER_SOURCE", "1000")
    start_fresh_environment()
    answers = {forgery: complete_login({"challenge_id": forgery[:256]}, credential) for forgery in forged}
    assert {forgery: outcome(answer) for forgery, answer in answers.items() if answer.status != 400} == {}
    assert complete_login(ceremony, credential).status == 200


@pytest.mark.sqlite
@pytest.mark.parametrize("with_password", [True, False])
def test_login_challenge_expires_after_five_minutes(database, holder, with_password):
    for seconds, status in ((-4 * 60 - 55, 200), (-5 * 60 - 1, 400)):
        with clock_off_by(seconds):
            ceremony = begin_login(holder.get_mfa_token() if with_password else None)
        assert complete_login(ceremony, holder.authenticator.authenticate(ceremony["options"])).status == status


@pytest.mark.sqlite
def test_challenge_of_another_service_is_rejected(database, holder, environment):
    ceremony, credential = holder.begin_and_answer_login()
    (environment / "audit-key").write_bytes(bytes(32))
    start_fresh_environment()
    assert outcome(complete_login(ceremony, credential)) == INVALID_CHALLENGE


@pytest.mark.sqlite
@pytest.mark.asvs("2.3.1")
def test_login_alone_and_second_factor_need_their_own_challenges(database, holder):
    """A login with a passkey alone requires user verification. A second factor must be a passkey of the user."""
    holder.authenticator.user_verified = False
    ceremony = begin_login()
    assert outcome(complete_login(ceremony, holder.authenticator.authenticate(ceremony["options"]))) == LOGIN_FAILED
    other = enrol(sign_up("other@example.com"))
    ceremony = begin_login(holder.get_mfa_token())
    credential = other.authenticator.authenticate({**ceremony["options"], "allowCredentials": []})
    assert outcome(complete_login(ceremony, credential)) == LOGIN_FAILED


# --- Users who are erased during a ceremony ---------------------------------------------------------------------------


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize("is_verifying", [False, True])
@pytest.mark.parametrize("with_password", [True, False])
def test_login_of_user_who_is_erased_during_it_is_rejected(database, holder, monkeypatch, with_password, is_verifying):
    mfa_token = holder.get_mfa_token() if with_password else None
    answered = holder.begin_and_answer_login(mfa_token)
    if is_verifying:
        while_a_passkey_is_verified(monkeypatch, erase)
    else:
        erase()
    assert outcome(complete_login(*answered)) == LOGIN_FAILED
    if mfa_token:
        begun = post_without_token("/webauthn/login/begin", {"mfa_token": mfa_token})
        assert outcome(begun) == (401, "invalid_mfa_token")


def test_registration_of_user_who_is_erased_meanwhile_is_rejected(account, monkeypatch):
    answered = begin_and_answer_registration(account.access_token)
    while_a_passkey_is_verified(monkeypatch, erase)
    assert outcome(complete_registration(account.access_token, *answered)) == (401, "invalid_token")
    assert outcome(call_webauthn(account.access_token, "POST", "/webauthn/register/begin", {})) == (
        401,
        "invalid_token",
    )


@pytest.mark.parametrize("attempt", range(3))
def test_concurrent_erasure_causes_no_server_error(database, attempt):
    holder = enrol()
    pair = holder.log_in().json
    token, mfa_token = pair["access_token"], holder.get_mfa_token()
    registration = begin_and_answer_registration(token)
    ceremonies = [holder.begin_and_answer_login(), holder.begin_and_answer_login(holder.get_mfa_token())]
    *answers, _ = send_at_once(
        lambda: call_webauthn(token, "POST", "/webauthn/register/begin", {}),
        lambda: post_without_token("/webauthn/login/begin", {"mfa_token": mfa_token}),
        lambda: complete_registration(token, *registration),
        lambda: complete_login(*ceremonies[0]),
        lambda: complete_login(*ceremonies[1]),
        lambda: log_in(EMAIL),
        lambda: refresh(pair["refresh_token"]),
        erase,
    )
    # 400 if the registration's challenge was erased, and 403 if the new passkey deleted the step-up token first.
    assert {answer.status for answer in answers} <= {200, 201, 400, 401, 403}
    assert database.count(users) == 0
