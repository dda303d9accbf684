"""Attacks on the verification of addresses: hijacked registrations, guessed codes, links that scanners open."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from auth_common.accounts import administration as accounts
from auth_common.database.privileges import REGISTRATION_ROLE
from auth_common.database.tables import (
    audit_events,
    email_changes,
    mail_tokens,
    mails,
    passkeys,
    refresh_tokens,
    sessions,
    users,
)
from auth_common.mail_tokens.proofs import MAX_TRIES_PER_CODE
from auth_common.throttling.limits import CODES_PER_DAY, MAILS_PER_DAY
from tests.support.databases import acting_as, start_fresh_environment
from tests.support.factories import (
    EMAIL,
    NEW_PASSWORD,
    PASSWORD,
    Account,
    change_password,
    erase,
    get_user,
    log_in,
    refresh,
    register,
    sign_up,
)
from tests.support.functions import outcome
from tests.support.mail_links import (
    end_mail_pause,
    is_verified,
    newest_mail,
    queued_mails,
    request_verification,
    verify_email,
)
from tests.support.outages import UNAVAILABLE, failing_statements, on_each_statement
from tests.support.passkeys import enrol
from tests.support.races import on_each_isolation_level, send_burst
from tests.support.throttles import OTHER_CLIENT_IP

pytestmark = [pytest.mark.accounts]

VICTIM = EMAIL
#: The attacker registers the victim's address with it.
ATTACKERS_PASSWORD = PASSWORD
VICTIMS_PASSWORD = NEW_PASSWORD
REJECTED = (400, "invalid_or_expired_code")


@pytest.fixture
def neutral(database, monkeypatch):
    monkeypatch.setenv("NEUTRAL_REGISTRATION", "true")
    start_fresh_environment()


def claim_token(database):
    """Return the token of the mail that a victim gets who registers an address that an attacker has registered."""
    assert register(password=VICTIMS_PASSWORD).status == 202
    return newest_mail(database, VICTIM, "register_again").token


# --- An attacker registers the address of a victim before the victim does ---------------------------------------------


@pytest.mark.threat("function-pre-hijacking", "function-mailbox-read")
@pytest.mark.sqlite
def test_victim_who_opens_the_link_of_an_attackers_registration_verifies_nothing(database, other):
    """The victim knows neither the attacker's password nor a session of the account."""
    attacker = sign_up(VICTIM)
    mail = newest_mail(database, VICTIM, "verify_email")
    assert verify_email(token=mail.token).status == 422
    assert outcome(verify_email(token=mail.token, password=VICTIMS_PASSWORD)) == (400, "invalid_current_password")
    assert outcome(verify_email(token=mail.token, access_token=other.access_token)) == REJECTED
    assert outcome(verify_email(email=VICTIM, code=mail.code, access_token=other.access_token)) == REJECTED
    assert not is_verified(database, VICTIM)
    assert not is_verified(database, other.email)
    assert get_user(attacker.id, token=attacker.access_token).json["email_verified"] is False


@pytest.mark.threat("function-pre-hijacking")
@pytest.mark.usefixtures("neutral")
@pytest.mark.aurora_dsql
def test_victim_who_registers_again_gets_a_new_account_without_anything_of_the_attackers(database, monkeypatch):
    """Password, passkey, session and refresh token that were set before must not open the victim's account."""
    register()
    ((attackers_id,),) = database.execute(select(users.c.id))
    pair = log_in().json
    monkeypatch.delenv("NEUTRAL_REGISTRATION")
    start_fresh_environment()
    attacker = Account(str(attackers_id), EMAIL, pair["access_token"], pair["refresh_token"])
    holder = enrol(attacker)
    monkeypatch.setenv("NEUTRAL_REGISTRATION", "true")
    start_fresh_environment()

    token = claim_token(database)
    with acting_as(REGISTRATION_ROLE):
        victim = register(password=VICTIMS_PASSWORD, address_token=token)
    assert (victim.status, victim.json["email_verified"]) == (201, True)
    assert victim.json["id"] != attacker.id
    assert log_in(password=ATTACKERS_PASSWORD).status == 401
    assert holder.log_in_with_passkey_alone().status == 401
    assert get_user(victim.json["id"], token=attacker.access_token).status == 401
    assert refresh(attacker.refresh_token).status == 401
    assert [database.count(table) for table in (users, passkeys, sessions, refresh_tokens)] == [1, 0, 0, 0]
    assert log_in(password=VICTIMS_PASSWORD).status == 200


@pytest.mark.sqlite
@pytest.mark.threat("function-pre-hijacking")
@pytest.mark.usefixtures("neutral")
def test_attacker_cannot_end_the_victims_link_by_changing_the_password(database):
    register()
    pair = log_in().json
    ((attackers_id,),) = database.execute(select(users.c.id))
    token = claim_token(database)
    accounts.revoke_sessions_of(VICTIM)  # raises the token version, like a change of the password
    assert pair["access_token"]
    assert register(password=VICTIMS_PASSWORD, address_token=token).status == 201
    assert database.execute(select(users.c.id)) != [(attackers_id,)]


@pytest.mark.sqlite
@pytest.mark.usefixtures("neutral")
def test_claim_of_an_address_that_another_account_has_reserved_replaces_no_account(database):
    register()
    token = claim_token(database)
    register(email="other@example.com")
    accounts_before = database.execute(select(users.c.id, users.c.email).order_by(users.c.email))
    (others_id,) = (account.id for account in accounts_before if account.email != EMAIL)
    now = datetime.now(UTC)
    reserved = {"old_email": EMAIL, "changed_at": now, "reserved_until": now + timedelta(hours=1)}
    database.execute(email_changes.insert().values(id=uuid4(), user_id=others_id, **reserved))
    assert outcome(register(password=VICTIMS_PASSWORD, address_token=token)) == (409, "email_taken")
    assert database.execute(select(users.c.id, users.c.email).order_by(users.c.email)) == accounts_before


@pytest.mark.sqlite
@pytest.mark.usefixtures("neutral")
def test_claim_of_an_address_is_rejected_for_another_address_and_after_the_verification(database):
    register()
    verification, token = newest_mail(database, VICTIM, "verify_email").token, claim_token(database)
    assert outcome(register(email="other@example.com", password=VICTIMS_PASSWORD, address_token=token)) == REJECTED
    assert outcome(register(password=VICTIMS_PASSWORD, address_token=verification)) == REJECTED
    accounts.mark_email_verified(VICTIM)
    assert outcome(register(password=VICTIMS_PASSWORD, address_token=token)) == REJECTED
    assert log_in().status == 200


@pytest.mark.sqlite
@pytest.mark.usefixtures("neutral")
def test_weak_password_spends_no_claim(database):
    register()
    token = claim_token(database)
    assert register(password="short", address_token=token).status == 422
    assert register(password=VICTIMS_PASSWORD, address_token=token).status == 201


@pytest.mark.sqlite
@pytest.mark.usefixtures("neutral")
def test_claim_of_a_disabled_account_is_rejected(database):
    register()
    token = claim_token(database)
    accounts.disable_user(VICTIM)
    assert outcome(register(password=VICTIMS_PASSWORD, address_token=token)) == REJECTED


@pytest.mark.sqlite
@pytest.mark.usefixtures("neutral")
@pytest.mark.parametrize("batch", [1, 1_000], ids=["many rows", "few rows"])
def test_claim_deletes_all_rows_of_the_account(database, monkeypatch, batch):
    """An attacker can create more rows than one transaction can delete, for example by logging in again and again."""
    monkeypatch.setattr("auth_common.accounts.erasure.BATCH_ROWS", batch)
    register()
    for _ in range(3):
        log_in()
    token = claim_token(database)
    assert register(password=VICTIMS_PASSWORD, address_token=token).status == 201
    assert [database.count(table) for table in (users, sessions, refresh_tokens, mail_tokens, mails)] == [1, 0, 0, 0, 0]


@pytest.mark.sqlite
@pytest.mark.usefixtures("neutral")
def test_claim_that_fails_leaves_the_sessions_of_the_account(database):
    register()
    pair = log_in().json
    token = claim_token(database)
    with failing_statements("DELETE FROM users", error=UNAVAILABLE):
        assert register(password=VICTIMS_PASSWORD, address_token=token).status == 503
    assert refresh(pair["refresh_token"]).status == 200
    assert register(password=VICTIMS_PASSWORD, address_token=token).status == 201
    assert refresh(pair["refresh_token"]).status == 401


@pytest.mark.usefixtures("neutral")
@pytest.mark.threat("function-race")
@pytest.mark.aurora_dsql
def test_forty_concurrent_claims_with_one_token_create_one_account(database):
    register()
    token = claim_token(database)
    with acting_as(REGISTRATION_ROLE):
        statuses = send_burst(40, lambda _: register(password=VICTIMS_PASSWORD, address_token=token))
    assert statuses[201] == 1
    assert statuses.keys() <= {201, 400, 503}
    assert database.count(users) == 1


# --- Links ------------------------------------------------------------------------------------------------------------


@on_each_isolation_level
@pytest.mark.threat("function-race")
def test_forty_concurrent_requests_with_one_token_verify_once(database, isolation):
    person = sign_up()
    token = newest_mail(database, EMAIL, "verify_email").token
    statuses = send_burst(40, lambda _: verify_email(token=token, access_token=person.access_token))
    assert statuses[204] == 1
    assert statuses.keys() <= {204, 400, 503}
    assert is_verified(database)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "change",
    [
        change_password,
        lambda _: accounts.revoke_sessions_of(EMAIL),
        lambda _: accounts.change_role(EMAIL, "admin"),
        lambda _: accounts.disable_user(EMAIL),
        lambda _: erase(),
    ],
    ids=["password changed", "sessions revoked", "role changed", "disabled", "erased"],
)
def test_link_and_code_end_with_a_change_of_the_account(database, person, change):
    mail = newest_mail(database, EMAIL, "verify_email")
    change(person)
    for password in (PASSWORD, NEW_PASSWORD):
        assert outcome(verify_email(token=mail.token, password=password)) == REJECTED
        assert outcome(verify_email(email=EMAIL, code=mail.code, password=password)) == REJECTED


@pytest.mark.sqlite
def test_link_ends_with_a_change_of_the_address(database, person):
    mail = newest_mail(database, EMAIL, "verify_email")
    database.execute(update(users).values(email="new@example.com"))
    assert outcome(verify_email(token=mail.token, password=PASSWORD)) == REJECTED
    assert outcome(verify_email(email=EMAIL, code=mail.code, password=PASSWORD)) == REJECTED


@pytest.mark.sqlite
@pytest.mark.asvs("11.4.3")
def test_stolen_database_contains_no_token_and_no_code(database, environment):
    register()
    mail = newest_mail(database, EMAIL, "verify_email")
    stored = repr(database.execute(mail_tokens.select()))
    file = (environment / "secure-backend.sqlite3").read_bytes()
    for secret in (mail.token, mail.code, mail.code.replace("-", ""), EMAIL):
        assert secret not in stored
    assert mail.token.encode() not in file


# --- Codes ------------------------------------------------------------------------------------------------------------


def guess_code(number=0, email=EMAIL, password=PASSWORD, **identity):
    return verify_email(email=email, code=f"ZZZZ-{number:04}", password=password, identity=identity)


@pytest.mark.threat("function-code-guessing")
@pytest.mark.aurora_dsql
def test_fifth_wrong_code_ends_the_code_and_not_the_link(database):
    register()
    mail = newest_mail(database, EMAIL, "verify_email")
    for number in range(MAX_TRIES_PER_CODE):
        assert outcome(guess_code(number)) == REJECTED
    assert outcome(verify_email(email=EMAIL, code=mail.code, password=PASSWORD)) == REJECTED
    assert not is_verified(database)
    assert verify_email(token=mail.token, password=PASSWORD).status == 204


@on_each_isolation_level
@pytest.mark.threat("function-code-guessing", "function-race")
def test_burst_of_codes_exceeds_no_limit(database, isolation):
    register()
    send_burst(20, lambda number: guess_code(number, sourceIp=f"192.0.2.{number}"))
    ((tries,),) = database.execute(select(mail_tokens.c.tries))
    assert tries == MAX_TRIES_PER_CODE


@pytest.mark.sqlite
@pytest.mark.threat("function-code-guessing", "function-account-enumeration")
@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
def test_codes_of_an_address_are_limited_for_a_day_from_all_client_ips(database, email):
    register()
    for number in range(CODES_PER_DAY):
        assert outcome(guess_code(number, email, sourceIp=f"192.0.2.{number}")) == REJECTED
    response = guess_code(99, email, sourceIp=OTHER_CLIENT_IP)
    assert (response.status, response.code) == (429, "too_many_attempts")
    # Another address is not affected, and neither is the link.
    assert outcome(guess_code(99, "else@example.com", sourceIp=OTHER_CLIENT_IP)) == REJECTED
    assert verify_email(token=newest_mail(database, EMAIL, "verify_email").token, password=PASSWORD).status == 204


@pytest.mark.sqlite
def test_code_of_one_account_verifies_no_other(database, person, other):
    code = newest_mail(database, person.email, "verify_email").code
    assert outcome(verify_email(email=other.email, code=code, password=PASSWORD)) == REJECTED
    assert not is_verified(database, other.email)


@pytest.mark.sqlite
@pytest.mark.threat("function-password-guessing", "function-mailbox-read")
def test_wrong_passwords_beside_a_link_count_as_failed_logins(database, monkeypatch):
    """The holder of the mailbox may be an attacker who does not know the password."""
    monkeypatch.setenv("THROTTLE_LOGIN_PER_ACCOUNT_AND_SOURCE", "3")
    start_fresh_environment()
    register()
    token = newest_mail(database, EMAIL, "verify_email").token
    for _ in range(3):
        assert outcome(verify_email(token=token, password="wrong")) == (400, "invalid_current_password")
    assert verify_email(token=token, password=PASSWORD).status == 429
    assert log_in().status == 429


# --- Requests for a mail ----------------------------------------------------------------------------------------------

UNKNOWN, VERIFIED, DISABLED = "unknown@example.com", "verified@example.com", "disabled@example.com"


@pytest.mark.sqlite
@pytest.mark.threat("function-mail-flood")
def test_one_address_gets_one_mail_in_five_minutes_and_twelve_a_day(database):
    register()
    for number in range(3):
        assert request_verification(sourceIp=f"192.0.2.{number}").status == 202
    # The mail of the registration is not counted.
    assert len(queued_mails(database, EMAIL)) == 2
    for number in range(MAILS_PER_DAY + 3):
        end_mail_pause(database, "verification")
        assert request_verification(sourceIp=f"198.51.100.{number}").status == 202
    assert len(queued_mails(database, EMAIL)) == 1 + MAILS_PER_DAY


@pytest.mark.sqlite
@pytest.mark.threat("function-mail-flood")
def test_attacker_cannot_stop_the_mails_of_an_account_before_its_registration(database):
    for number in range(MAILS_PER_DAY + 1):
        request_verification(sourceIp=f"192.0.2.{number}")
        end_mail_pause(database, "verification")
    assert queued_mails(database) == []
    register()
    assert request_verification(sourceIp=OTHER_CLIENT_IP).status == 202
    assert len(queued_mails(database, EMAIL)) == 2


@pytest.fixture
def accounts_of_each_kind(database):
    for email in (EMAIL, VERIFIED, DISABLED):
        register(email=email)
    accounts.mark_email_verified(VERIFIED)
    accounts.disable_user(DISABLED)
    request_verification("warm-up@example.com")  # creates the engine


@pytest.mark.asvs("6.3.8")
@pytest.mark.threat("function-account-enumeration")
@pytest.mark.usefixtures("accounts_of_each_kind")
def test_request_for_a_mail_reveals_no_account_by_response_rows_or_statements(database):
    """Also the second request, which sends nothing."""
    seen: list[Any] = []
    for email in (EMAIL, VERIFIED, DISABLED, UNKNOWN):
        for turn in range(2):
            rows = [database.count(table) for table in (mail_tokens, mails, audit_events)]
            statements = []
            with on_each_statement(lambda text, _: statements.append(text)):  # noqa: B023 - called within the loop
                response = request_verification(email, sourceIp=f"192.0.2.{len(seen)}")
            added = [database.count(table) for table in (mail_tokens, mails, audit_events)]
            headers = {name: text for name, text in response.headers.items() if name != "x-request-id"}
            assert (response.status, response.json) == (202, {"status": "accepted"})
            seen.append((turn, headers, len(statements), [new - old for new, old in zip(added, rows, strict=True)]))
    assert seen == seen[:2] * 4
    assert [mail.recipient for mail in queued_mails(database)][3:] == [EMAIL]


@pytest.mark.asvs("6.3.8")
@pytest.mark.threat("function-account-enumeration")
@pytest.mark.usefixtures("accounts_of_each_kind")
def test_guess_at_a_code_reveals_no_account_by_response_or_statements(database, hash_costs):
    for email in (VERIFIED, DISABLED, UNKNOWN):
        request_verification(email)
    hash_costs.clear()
    seen = []
    for email in (EMAIL, VERIFIED, DISABLED, UNKNOWN):
        statements = []
        with on_each_statement(lambda text, _: statements.append(text)):  # noqa: B023 - called within the loop
            response = guess_code(email=email)
        problem = response.json
        del problem["request_id"]
        seen.append((problem, len(statements)))
    assert seen == seen[:1] * 4
    assert hash_costs == []
