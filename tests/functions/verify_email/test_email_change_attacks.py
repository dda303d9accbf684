"""Attacks on the change of an address: hijacking, enumeration, guessed codes, races, and the reserved address."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import create_engine, delete, select, text, update
from sqlalchemy.pool import NullPool

from auth_common.accounts import administration as accounts
from auth_common.accounts.email_change import change_email_by_operator
from auth_common.database.privileges import REGISTRATION_ROLE
from auth_common.database.tables import audit_events, email_changes, mail_tokens, mails, sessions, throttles, users
from auth_common.errors import NotFound
from auth_common.mail_tokens.proofs import MAX_TRIES_PER_CODE
from auth_common.throttling.limits import EMAIL_CHANGES_PER_DAY, MAILS_PER_DAY
from tests.support.databases import acting_as, start_fresh_environment
from tests.support.factories import (
    EMAIL,
    NEW_PASSWORD,
    PASSWORD,
    Account,
    change_password,
    erase,
    expire_step_ups,
    get_user,
    log_in,
    log_out,
    register,
    sign_up,
    step_up,
)
from tests.support.functions import outcome
from tests.support.mail_links import (
    change_email,
    complete_reset,
    end_mail_pause,
    newest_mail,
    queued_mails,
    request_email_change,
    request_reset,
    verify_email,
)
from tests.support.outages import on_each_statement
from tests.support.processes import wait_until
from tests.support.races import (
    before_statement,
    on_each_isolation_level,
    on_each_postgresql_isolation,
    send_at_once,
    send_burst,
)
from tests.support.throttles import OTHER_CLIENT_IP, count_of, expire_lockouts, guess_password, use_limits

pytestmark = [pytest.mark.accounts]

NEW_EMAIL = "new@example.com"
VICTIM = "victim@example.com"
REJECTED = (400, "invalid_or_expired_code")


def verified(email: str = EMAIL) -> Account:
    """Return a verified user who has logged in."""
    account = sign_up(email)
    accounts.mark_email_verified(email)
    return account


@pytest.fixture
def account(database) -> Account:
    return verified()


def address_of(account):
    return get_user(account.id, token=account.access_token).json["email"]


def change_token(database, account, new_email=NEW_EMAIL):
    assert request_email_change(account, new_email).status == 202
    return newest_mail(database, new_email, "confirm_new_email").token


# --- Who may ask ------------------------------------------------------------------------------------------------------


@pytest.mark.sqlite
@pytest.mark.threat("function-stolen-access-token")
def test_stolen_access_token_changes_no_address(database, account):
    for step_up_token in (None, "su_unknown"):
        response = request_email_change(account, NEW_EMAIL, step_up_token=step_up_token)
        assert outcome(response) == (403, "step_up_required")
    expire_step_ups(database)
    assert outcome(request_email_change(account, NEW_EMAIL)) == (403, "step_up_required")
    assert queued_mails(database, NEW_EMAIL) == []


@pytest.mark.aurora_dsql
def test_attacker_with_many_sessions_does_not_stop_the_users_change_of_the_address(database, account):
    """With the password, the attacker has more step-up tokens than one transaction on Aurora DSQL can delete."""
    (session,) = database.execute(select(sessions))
    for _ in range(7):
        database.insert(sessions, [session._asdict() | {"id": uuid4()} for _ in range(450)])
    token = change_token(database, account)
    assert verify_email(token=token, access_token=account.access_token).status == 204
    assert database.execute(select(sessions.c.id).where(sessions.c.step_up_hash.is_not(None))) == []


@pytest.mark.sqlite
@pytest.mark.asvs("8.2.2")
@pytest.mark.threat("function-data-of-others")
def test_caller_changes_no_other_users_address_even_as_an_admin(database, account):
    other = verified("other@example.com")
    accounts.change_role(EMAIL, "admin")
    token = log_in().json["access_token"]
    for user_id in (other.id, "00000000-0000-4000-8000-000000000000", "x"):
        assert outcome(request_email_change(account, NEW_EMAIL, user_id=user_id, token=token)) == (403, "forbidden")


@pytest.mark.sqlite
@pytest.mark.threat("function-pre-hijacking")
@pytest.mark.parametrize("new_email", [NEW_EMAIL, VICTIM, EMAIL], ids=["free", "taken", "own"])
def test_account_with_an_unverified_address_cannot_change_it(database, new_email):
    """An attacker registers the address of a victim, and must not get a verified account from it."""
    attacker, _ = sign_up(), verified(VICTIM)
    before = len(queued_mails(database))
    assert outcome(request_email_change(attacker, new_email)) == (403, "email_not_verified")
    assert len(queued_mails(database)) == before


@pytest.mark.sqlite
def test_erased_and_logged_out_users_change_no_address(account):
    other = verified("other@example.com")
    log_out(account.access_token)
    assert outcome(request_email_change(account, NEW_EMAIL)) == (401, "invalid_token")
    erase("other@example.com")
    assert outcome(request_email_change(other, NEW_EMAIL)) == (401, "invalid_token")


# --- Who may confirm --------------------------------------------------------------------------------------------------


@pytest.mark.threat("function-pre-hijacking")
def test_victim_who_opens_the_link_of_an_attackers_change_confirms_nothing(database, account):
    """The attacker enters the address of a victim, who has an account with another address and is logged in."""
    victim = verified("victims-account@example.com")
    request_email_change(account, VICTIM)
    mail = newest_mail(database, VICTIM, "confirm_new_email")
    proofs: list[dict[str, Any]] = [{"token": mail.token}, {"email": VICTIM, "code": mail.code}]
    for proof in proofs:
        assert verify_email(**proof).status == 422
        assert outcome(verify_email(**proof, password=NEW_PASSWORD)) == (400, "invalid_current_password")
        assert outcome(verify_email(**proof, access_token=victim.access_token)) == REJECTED
    assert (address_of(account), address_of(victim)) == (EMAIL, "victims-account@example.com")
    # The victim can still register.
    assert register(email=VICTIM).status == 201


@pytest.mark.sqlite
@pytest.mark.threat("function-password-guessing")
def test_wrong_passwords_beside_a_link_count_as_failed_logins_of_the_account(database, account):
    token = change_token(database, account)
    assert outcome(verify_email(token=token, password=NEW_PASSWORD)) == (400, "invalid_current_password")
    assert count_of(database, "login_account", EMAIL) == 1
    assert verify_email(token=token, password=PASSWORD).status == 204


@pytest.mark.sqlite
@pytest.mark.threat("function-reset-takeover")
def test_token_of_another_purpose_changes_no_address_and_sets_no_password(database, account):
    token = change_token(database, account)
    assert outcome(complete_reset(token)) == REJECTED
    assert outcome(register(email=NEW_EMAIL, address_token=token)) == REJECTED
    request_reset()
    reset = newest_mail(database, EMAIL, "reset_password").token
    assert outcome(verify_email(token=reset, password=PASSWORD)) == REJECTED
    assert address_of(account) == EMAIL


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "change",
    [
        change_password,
        lambda _: accounts.revoke_sessions_of(EMAIL),
        lambda _: accounts.disable_user(EMAIL),
        lambda _: change_email_by_operator(EMAIL, "else@example.com"),
        lambda _: erase(),
    ],
    ids=["password changed", "sessions revoked", "disabled", "changed by an operator", "erased"],
)
def test_link_and_code_end_with_a_change_of_the_account(database, account, change):
    request_email_change(account, NEW_EMAIL)
    mail = newest_mail(database, NEW_EMAIL, "confirm_new_email")
    change(account)
    for password in (PASSWORD, NEW_PASSWORD):
        assert outcome(verify_email(token=mail.token, password=password)) == REJECTED
        assert outcome(verify_email(email=NEW_EMAIL, code=mail.code, password=password)) == REJECTED


@pytest.mark.sqlite
def test_link_ends_if_the_present_address_is_not_verified_any_more(database, account):
    token = change_token(database, account)
    database.execute(update(users).values(email_verified_at=None))
    assert outcome(verify_email(token=token, password=PASSWORD)) == REJECTED


@pytest.mark.threat("function-code-guessing")
@pytest.mark.aurora_dsql
def test_fifth_wrong_code_ends_the_code_and_not_the_link(database, account):
    request_email_change(account, NEW_EMAIL)
    mail = newest_mail(database, NEW_EMAIL, "confirm_new_email")
    for number in range(MAX_TRIES_PER_CODE):
        guess = verify_email(email=NEW_EMAIL, code=f"ZZZZ-{number:04}", password=PASSWORD)
        assert outcome(guess) == REJECTED
    assert outcome(verify_email(email=NEW_EMAIL, code=mail.code, password=PASSWORD)) == REJECTED
    assert address_of(account) == EMAIL
    assert verify_email(token=mail.token, password=PASSWORD).status == 204


@pytest.mark.sqlite
@pytest.mark.asvs("11.4.3")
def test_stolen_database_contains_no_token_and_no_code_of_a_change(database, account):
    request_email_change(account, NEW_EMAIL)
    mail = newest_mail(database, NEW_EMAIL, "confirm_new_email")
    stored = repr(database.execute(mail_tokens.select()))
    assert not [secret for secret in (mail.token, mail.code, mail.code.replace("-", "")) if secret in stored]


# --- What a request reveals -------------------------------------------------------------------------------------------


@pytest.mark.asvs("6.3.8")
@pytest.mark.threat("function-account-enumeration")
def test_request_reveals_no_address_by_response_rows_or_statements(database):
    """Also the second request, which sends nothing."""
    addresses = {name: f"{name}@example.com" for name in ("taken", "unverified", "disabled", "reserved", "own", "free")}
    caller = verified(addresses["own"])
    for name in ("taken", "unverified", "disabled"):
        register(email=addresses[name])
    accounts.mark_email_verified(addresses["taken"])
    accounts.disable_user(addresses["disabled"])
    change_email(database, verified(addresses["reserved"]), "moved@example.com")
    request_email_change(caller, "warm-up@example.com")  # creates the engine
    before = len(queued_mails(database))
    seen: list[Any] = []
    for email in addresses.values():
        database.execute(delete(throttles))
        for turn in range(2):
            rows = [database.count(table) for table in (mail_tokens, mails, audit_events)]
            statements: list[str] = []
            with on_each_statement(lambda text, _: statements.append(text)):  # noqa: B023 - called within the loop
                response = request_email_change(caller, email)
            added = [database.count(table) for table in (mail_tokens, mails, audit_events)]
            headers = {name: text for name, text in response.headers.items() if name != "x-request-id"}
            assert (response.status, response.json) == (202, {"status": "accepted"})
            seen.append((turn, headers, len(statements), [new - old for new, old in zip(added, rows, strict=True)]))
    assert seen == seen[:2] * len(addresses)
    sent = {(mail.recipient, mail.kind) for mail in queued_mails(database)[before:]}
    assert sent == {
        (addresses["taken"], "address_taken"),
        (addresses["unverified"], "register_again"),
        (addresses["free"], "confirm_new_email"),
    }


@pytest.mark.sqlite
@pytest.mark.threat("function-mail-flood")
def test_one_address_gets_one_mail_in_five_minutes_and_twelve_a_day_from_all_accounts(database):
    callers = [verified(f"caller{number}@example.com") for number in range(4)]
    for number in range(MAILS_PER_DAY + 3):
        for turn in range(2):
            caller = callers[(2 * number + turn) % 4]
            assert request_email_change(caller, VICTIM, sourceIp=f"192.0.2.{number}").status == 202
        end_mail_pause(database, "change", VICTIM)
    assert len(queued_mails(database, VICTIM)) == MAILS_PER_DAY


@pytest.mark.sqlite
@pytest.mark.threat("function-mail-flood")
def test_account_asks_for_ten_changes_a_day(database, account):
    for number in range(EMAIL_CHANGES_PER_DAY):
        assert request_email_change(account, f"new{number}@example.com", sourceIp=f"192.0.2.{number}").status == 202
    response = request_email_change(account, NEW_EMAIL, sourceIp=OTHER_CLIENT_IP)
    assert outcome(response) == (429, "too_many_attempts")
    assert queued_mails(database, NEW_EMAIL) == []


# --- The reserved address ---------------------------------------------------------------------------------------------


def test_reserved_address_is_taken_for_registrations_and_other_changes(database, account):
    attacker = verified("attacker@example.com")
    early = change_token(database, attacker, "early@example.com")
    change_email(database, account, NEW_EMAIL)
    with acting_as(REGISTRATION_ROLE):
        assert outcome(register()) == (409, "email_taken")
    assert request_email_change(attacker, EMAIL).status == 202
    assert [mail.kind for mail in queued_mails(database, EMAIL)][-1] == "email_changed"
    with pytest.raises(NotFound):
        change_email_by_operator(EMAIL, "else@example.com")
    assert verify_email(token=early, password=PASSWORD).status == 204


@pytest.mark.sqlite
@pytest.mark.threat("function-race")
def test_confirmation_of_an_address_that_was_reserved_meanwhile_is_rejected(database, account):
    """The attacker asks before the user has the address."""
    attacker = verified("attacker@example.com")
    token = change_token(database, attacker, NEW_EMAIL)
    end_mail_pause(database, "change", NEW_EMAIL)
    change_email(database, account, NEW_EMAIL)
    assert outcome(verify_email(token=token, password=PASSWORD)) == REJECTED
    step_up(account.access_token, {"current_password": PASSWORD})
    change_email(database, account, "third@example.com")
    assert outcome(verify_email(token=token, password=PASSWORD)) == REJECTED
    assert (address_of(attacker), address_of(account)) == ("attacker@example.com", "third@example.com")
    assert database.count(email_changes) == 2


@pytest.mark.asvs("6.3.8")
@pytest.mark.threat("function-account-enumeration")
@pytest.mark.parametrize("neutral", [False, True], ids=["open", "neutral"])
def test_registration_of_a_reserved_address_looks_like_one_of_a_taken_address(database, monkeypatch, neutral):
    account, _ = verified(), verified("taken@example.com")
    change_email(database, account, NEW_EMAIL)
    monkeypatch.setenv("NEUTRAL_REGISTRATION", str(neutral).lower())
    start_fresh_environment()
    register(email="warm-up@example.com")
    before = len(queued_mails(database))
    seen = []
    for number, email in enumerate(("taken@example.com", EMAIL)):
        statements: list[str] = []
        with on_each_statement(lambda text, _: statements.append(text)):  # noqa: B023 - called within the loop
            response = register({"sourceIp": f"192.0.2.{number}"}, email=email)
        body = {name: value for name, value in response.json.items() if name != "request_id"}
        seen.append((response.status, body, len(statements)))
    assert seen[0] == seen[1]
    assert [mail.recipient for mail in queued_mails(database)[before:]] == (["taken@example.com"] if neutral else [])


# --- Lockouts ---------------------------------------------------------------------------------------------------------


@pytest.mark.threat("function-password-guessing")
def test_change_of_the_address_resets_no_lockout(database, account):
    for number in range(30):
        guess_password(sourceIp=f"192.0.2.{number}")
        expire_lockouts(database)
    token = change_token(database, account)
    assert verify_email(token=token, access_token=account.access_token).status == 204
    assert count_of(database, "login_account", EMAIL) == 0
    assert count_of(database, "login_account", NEW_EMAIL) == 30


@pytest.mark.sqlite
@pytest.mark.threat("function-lockout-of-others")
def test_failures_from_before_the_change_do_not_lock_the_new_address(database, account):
    for number in range(50):
        guess_password(NEW_EMAIL, sourceIp=f"192.0.2.{number}")
        expire_lockouts(database)
    assert count_of(database, "login_account", NEW_EMAIL) == 50
    change_email(database, account, NEW_EMAIL)
    assert log_in(NEW_EMAIL, sourceIp=OTHER_CLIENT_IP).status == 200


# --- Races ------------------------------------------------------------------------------------------------------------


@on_each_isolation_level
@pytest.mark.threat("function-race")
def test_forty_concurrent_confirmations_of_one_token_have_one_winner(database, isolation):
    account = verified()
    token = change_token(database, account)
    statuses = send_burst(40, lambda _: verify_email(token=token, access_token=account.access_token))
    assert statuses[204] == 1
    assert statuses.keys() <= {204, 400, 503}
    assert address_of(account) == NEW_EMAIL
    assert database.count(email_changes) == 1
    assert [mail.kind for mail in queued_mails(database, EMAIL)].count("email_changed") == 1


@on_each_isolation_level
@pytest.mark.asvs("2.3.4", "15.4.2")
@pytest.mark.threat("function-race")
def test_concurrent_changes_and_a_registration_give_one_account_an_address(database, isolation):
    callers = [verified(f"caller{number}@example.com") for number in range(4)]
    tokens = []
    for caller in callers:
        tokens.append(change_token(database, caller))
        end_mail_pause(database, "change", NEW_EMAIL)
    confirm = [partial(verify_email, token=token, password=PASSWORD) for token in tokens]
    responses = send_at_once(*confirm, lambda: register({"sourceIp": OTHER_CLIENT_IP}, email=NEW_EMAIL))
    statuses = [response.status for response in responses]
    assert len([status for status in statuses if status < 300]) == 1, statuses
    assert set(statuses) <= {201, 204, 400, 409, 503}
    assert database.execute(select(users.c.email).where(users.c.email == NEW_EMAIL)) == [(NEW_EMAIL,)]
    changed = database.execute(select(email_changes.c.old_email))
    assert len(changed) == (0 if statuses[-1] == 201 else 1)


@on_each_isolation_level
@pytest.mark.threat("function-race")
def test_old_address_is_never_free_between_the_change_and_its_reservation(database, isolation, monkeypatch):
    """A registration and another account's change want the old address while its account changes to another one."""
    use_limits(monkeypatch, mail_per_source=100)
    for turn in range(5):
        old, new = f"old{turn}@example.com", f"new{turn}@example.com"
        other = verified(f"other{turn}@example.com")
        stolen = change_token(database, other, old)  # before the address has an account
        token = change_token(database, verified(old), new)
        responses = send_at_once(
            partial(verify_email, token=token, password=PASSWORD),
            partial(verify_email, token=stolen, access_token=other.access_token),
            *(partial(register, {"sourceIp": f"198.51.100.{number}"}, email=old) for number in range(4)),
        )
        statuses = [response.status for response in responses]
        assert statuses[0] in {204, 503}, statuses
        assert set(statuses[1:]) <= {400, 409, 503}, statuses
        expected = [] if statuses[0] == 204 else [(old,)]
        assert database.execute(select(users.c.email).where(users.c.email == old)) == expected


@on_each_postgresql_isolation
@pytest.mark.threat("function-race")
def test_change_that_commits_within_another_transaction_reserves_the_old_address(database, isolation):
    """The other transaction may have a snapshot in which the address is not reserved yet."""
    old = "old@example.com"
    other = verified("other@example.com")
    stolen = change_token(database, other, old)
    token = change_token(database, verified(old), NEW_EMAIL)
    # From another client IP, because the first transaction has locked the counters of its own.
    confirm = partial(verify_email, token=token, password=PASSWORD, identity={"sourceIp": OTHER_CLIENT_IP})
    with before_statement("UPDATE users SET email", confirm):
        assert outcome(verify_email(token=stolen, access_token=other.access_token)) == REJECTED
    assert {email for (email,) in database.execute(select(users.c.email))} == {NEW_EMAIL, "other@example.com"}


@on_each_postgresql_isolation
@pytest.mark.threat("function-race")
@pytest.mark.parametrize("neutral", [False, True], ids=["open", "neutral"])
def test_registration_that_waits_for_a_change_of_the_address_is_rejected(database, isolation, monkeypatch, neutral):
    """The insert has looked for a reservation before it waits for the change."""
    account = verified()
    monkeypatch.setenv("NEUTRAL_REGISTRATION", str(neutral).lower())
    start_fresh_environment()
    register({"sourceIp": OTHER_CLIENT_IP}, email="warm-up@example.com")
    before, now = queued_mails(database, EMAIL), datetime.now(UTC)
    reservation = {"id": uuid4(), "user_id": UUID(account.id), "old_email": EMAIL}
    reservation |= {"changed_at": now, "reserved_until": now + timedelta(hours=1)}
    with ThreadPoolExecutor(1) as elsewhere, create_engine(database.url, poolclass=NullPool).connect() as connection:
        connection.execute(update(users).where(users.c.email == EMAIL).values(email=NEW_EMAIL))
        connection.execute(email_changes.insert(), reservation)
        response = elsewhere.submit(register)
        wait_until(lambda: connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")) > 0, seconds=20)
        connection.commit()
        assert response.result().status == (202 if neutral else 409)
    assert {email for (email,) in database.execute(select(users.c.email))} == {NEW_EMAIL, "warm-up@example.com"}
    assert queued_mails(database, EMAIL) == before
