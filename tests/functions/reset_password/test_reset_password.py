"""POST /password/reset and /password/reset/complete: what users notice, and attacks that fail."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from auth_common.accounts import administration as accounts
from auth_common.database.tables import audit_events, mail_tokens, mails, passkeys, throttles, users
from auth_common.keys.keyed_hashes import account_pseudonym
from auth_common.throttling.limits import MAILS_PER_DAY, MAILS_PER_DAY_FROM_CLIENT_IP
from tests.support.databases import Database, start_fresh_environment
from tests.support.factories import (
    EMAIL,
    NEW_PASSWORD,
    PASSWORD,
    change_password,
    get_user,
    is_session_accepted,
    log_in,
    refresh,
    register,
    sign_up,
)
from tests.support.functions import outcome
from tests.support.mail_links import (
    complete_reset,
    end_mail_pause,
    newest_mail,
    queued_mails,
    request_reset,
    request_verification,
    verify_email,
)
from tests.support.outages import UNAVAILABLE, failing_statements, on_each_statement
from tests.support.passkeys import enrol
from tests.support.races import on_each_isolation_level, send_burst, while_a_password_is_checked
from tests.support.throttles import OTHER_CLIENT_IP, expire_lockouts, guess_password

pytestmark = [pytest.mark.passwords]

REJECTED = (400, "invalid_or_expired_code")
AT_HOME = {"sourceIp": "198.51.100.77"}


def reset_token(database: Database) -> str:
    """Ask for a reset, and return the token of the link."""
    assert request_reset().status == 202
    return newest_mail(database, EMAIL, "reset_password").token


@pytest.mark.aurora_dsql
@pytest.mark.asvs("6.4.3", "7.4.3")
@pytest.mark.threat("function-mailbox-read")
def test_reset_sets_the_password_revokes_sessions_and_opens_none(database, account, log_lines):
    response = complete_reset(reset_token(database))
    assert (response.status, response.text) == (204, "")
    assert not is_session_accepted(account.id, account.pair)
    assert log_in().status == 401
    assert log_in(password=NEW_PASSWORD).status == 200
    (notice,) = [mail for mail in queued_mails(database, EMAIL) if mail.kind == "password_reset"]
    assert (notice.token, notice.code) == ("", "")
    assert notice.undo_token
    reasons = [(event["name"], event.get("reason")) for event in log_lines.security_events]
    assert ("authn_password_reset_requested", "mail_queued") in reasons
    assert ("authn_password_reset", None) in reasons
    assert ("authn_token_revoked", "password_reset") in reasons


@pytest.mark.sqlite
@pytest.mark.asvs("6.4.3")
@pytest.mark.threat("function-second-factor-bypass", "function-reset-takeover", "function-mailbox-read")
def test_reset_leaves_passkeys_and_the_second_factor(database, account):
    holder = enrol(account)
    assert complete_reset(reset_token(database)).status == 204
    assert database.count(passkeys) == 1
    assert log_in(password=NEW_PASSWORD).json["mfa_required"] is True
    assert holder.log_in_with_passkey_alone().status == 200


@pytest.mark.sqlite
def test_reset_clears_no_failures_of_the_second_factor(database, account):
    """The holder of a mailbox must not get further guesses at a second factor."""
    key = b"second factor 16"
    now = datetime.now(UTC)
    row = {"key": key, "failures": 9, "started_at": now, "refusal_recorded": False, "expires_at": now + timedelta(1)}
    database.execute(throttles.insert().values(row))
    complete_reset(reset_token(database))
    assert database.execute(select(throttles.c.failures).where(throttles.c.key == key)) == [(9,)]


@pytest.mark.sqlite
@pytest.mark.asvs("6.3.1")
@pytest.mark.threat("function-lockout-of-others")
def test_user_whose_account_is_locked_resets_and_logs_in_while_the_attack_goes_on(database, account):
    for number in range(50):
        guess_password(sourceIp=f"192.0.2.{number}")
        expire_lockouts(database)
    assert log_in(**AT_HOME).status == 429
    assert complete_reset(reset_token(database), **AT_HOME).status == 204
    for number in range(50):
        guess_password(sourceIp=f"192.0.2.{number}")
        expire_lockouts(database)
    assert log_in(password=NEW_PASSWORD, sourceIp=OTHER_CLIENT_IP).status == 429
    # The client IP of the reset is known for the account.
    assert log_in(password=NEW_PASSWORD, **AT_HOME).status == 200


@pytest.mark.sqlite
def test_client_ip_of_a_reset_is_known_until_the_sessions_are_revoked(database, account):
    complete_reset(reset_token(database), **AT_HOME)
    accounts.revoke_sessions_of(EMAIL)
    for number in range(50):
        guess_password(sourceIp=f"192.0.2.{number}")
        expire_lockouts(database)
    assert log_in(password=NEW_PASSWORD, **AT_HOME).status == 429


@pytest.mark.sqlite
def test_login_that_is_under_way_ends_with_the_reset(database, account, monkeypatch):
    token = reset_token(database)
    while_a_password_is_checked(monkeypatch, lambda: complete_reset(token))
    assert log_in().status == 401


@pytest.mark.sqlite
@pytest.mark.asvs("6.2.9")
def test_weak_password_spends_no_link(database, account):
    token = reset_token(database)
    for weak in ("short", "test person engineer", "a" * 300):
        response = complete_reset(token, weak)
        assert (response.status, response.fields) == (422, {"new_password"})
    assert complete_reset(token).status == 204


@pytest.mark.sqlite
def test_failure_of_the_database_spends_no_link(database, account):
    token = reset_token(database)
    with failing_statements("UPDATE users", error=UNAVAILABLE):
        assert complete_reset(token).status == 503
    assert log_in().status == 200
    assert complete_reset(token).status == 204


@pytest.mark.sqlite
@pytest.mark.threat("function-account-enumeration")
def test_password_is_not_checked_before_the_token(database, account, hash_costs):
    """The check uses the name and address of the account, so its result would reveal them."""
    hash_costs.clear()
    for password in ("short", "test person engineer"):
        assert outcome(complete_reset("mt_unknown", password)) == REJECTED
    assert hash_costs == []


@pytest.mark.sqlite
@pytest.mark.asvs("6.4.1")
def test_link_expires_after_thirty_minutes(database, account):
    token = reset_token(database)
    ((expires_at,),) = database.execute(
        select(mail_tokens.c.expires_at).where(mail_tokens.c.purpose == "reset_password")
    )
    assert timedelta(minutes=29) < expires_at - datetime.now(UTC) <= timedelta(minutes=30)
    database.execute(update(mail_tokens).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    assert outcome(complete_reset(token)) == REJECTED
    assert log_in().status == 200


@pytest.mark.sqlite
def test_request_ends_no_earlier_link_and_a_reset_ends_all_others(database, account):
    first = reset_token(database)
    end_mail_pause(database, "reset")
    second = reset_token(database)
    assert first != second
    assert complete_reset(first).status == 204
    assert outcome(complete_reset(second)) == REJECTED
    assert outcome(complete_reset(first)) == REJECTED
    # Only the link in the notice of the reset.
    assert database.execute(select(mail_tokens.c.purpose)) == [("secure_account",)]


@pytest.mark.sqlite
def test_reset_ends_no_link_that_was_sent_to_an_earlier_address(database, account):
    """An attacker who has changed the address must not end the user's link by a reset with the new address."""
    complete_reset(reset_token(database))
    end_mail_pause(database, "reset")
    notice_token = select(mail_tokens.c.id).where(mail_tokens.c.purpose == "secure_account")
    (to_first_address,) = database.execute(notice_token)
    database.execute(update(users).values(email="new@example.com"))
    request_reset("new@example.com")
    assert complete_reset(newest_mail(database, "new@example.com", "reset_password").token).status == 204
    assert to_first_address in database.execute(notice_token)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "change",
    [
        change_password,
        lambda _: accounts.revoke_sessions_of(EMAIL),
        lambda _: accounts.disable_user(EMAIL),
    ],
    ids=["password changed", "sessions revoked", "disabled"],
)
def test_link_ends_with_a_change_of_the_account(database, account, change):
    token = reset_token(database)
    change(account)
    assert outcome(complete_reset(token)) == REJECTED


@pytest.mark.sqlite
def test_mails_to_one_address_that_a_limit_stops_are_seen_in_metric_and_log(database, account, log_lines):
    """The response and the audit log do not show them. The security team must still find whose mailbox is attacked."""
    for number in range(3):
        assert request_reset(sourceIp=f"192.0.2.{number}").status == 202
        assert request_reset("unknown@example.com", sourceIp=f"192.0.2.{number}").status == 202
    assert len(queued_mails(database, EMAIL)) == 1 + 1  # The first is of the registration.
    assert sum("excess_rate_limit_exceeded" in line for line in log_lines.metrics) == 4
    stopped = [record for record in log_lines.records if record["message"] == "attempt rejected"]
    assert all("mail_address_day" in record["limit"] for record in stopped)
    assert [record.get("user_id") for record in stopped] == [account.id, None] * 2
    assert [record.get("account") for record in stopped] == [None, account_pseudonym("unknown@example.com")] * 2


@pytest.mark.sqlite
def test_link_ends_with_a_change_of_the_address(database, account):
    token = reset_token(database)
    database.execute(update(users).values(email="new@example.com"))
    assert outcome(complete_reset(token)) == REJECTED


@pytest.mark.sqlite
def test_link_ends_if_the_address_is_not_verified_any_more(database, account):
    token = reset_token(database)
    database.execute(update(users).values(email_verified_at=None))
    assert outcome(complete_reset(token)) == REJECTED


@pytest.mark.sqlite
@pytest.mark.threat("function-reset-takeover")
def test_token_is_valid_for_its_own_purpose_only(database, account):
    token = reset_token(database)
    assert outcome(verify_email(token=token, password=PASSWORD)) == REJECTED
    assert outcome(register(address_token=token)) == REJECTED
    database.execute(update(users).values(email_verified_at=None))
    end_mail_pause(database, "verification")
    request_verification()
    verification = newest_mail(database, EMAIL, "verify_email").token
    assert outcome(complete_reset(verification)) == REJECTED
    assert log_in().status == 200


@on_each_isolation_level
@pytest.mark.threat("function-race")
def test_forty_concurrent_completions_of_one_token_have_one_winner(database, isolation):
    sign_up()
    accounts.mark_email_verified(EMAIL)
    token = reset_token(database)
    words = [f"{NEW_PASSWORD} number {number}" for number in range(40)]
    responses: list[tuple[int, int]] = []

    def complete(number):
        response = complete_reset(token, words[number])
        responses.append((response.status, number))
        return response

    statuses = send_burst(40, complete)
    assert statuses[204] == 1
    assert statuses.keys() <= {204, 400, 503}
    (winner,) = [number for status, number in responses if status == 204]
    assert log_in(password=words[winner]).status == 200
    assert [mail.kind for mail in queued_mails(database, EMAIL)].count("password_reset") == 1


@pytest.mark.sqlite
@pytest.mark.threat("function-pre-hijacking")
def test_unverified_account_gets_a_link_to_register_again_and_no_reset(database):
    """An attacker may have registered the address. The password of that account must not become the victim's."""
    attacker = sign_up()
    holder = enrol(attacker)
    assert request_reset().status == 202
    assert [mail.kind for mail in queued_mails(database, EMAIL)] == ["verify_email", "register_again"]
    token = newest_mail(database, EMAIL, "register_again").token
    assert outcome(complete_reset(token)) == REJECTED
    victim = register(password=NEW_PASSWORD, address_token=token)
    assert (victim.status, victim.json["email_verified"]) == (201, True)
    assert victim.json["id"] != attacker.id
    assert log_in().status == 401
    assert holder.log_in_with_passkey_alone().status == 401
    assert get_user(attacker.id, token=attacker.access_token).status == 401
    assert refresh(attacker.refresh_token).status == 401


@pytest.mark.sqlite
@pytest.mark.threat("function-mail-flood")
def test_one_address_gets_one_link_in_five_minutes_and_twelve_a_day(database, account):
    for number in range(3):
        assert request_reset(sourceIp=f"192.0.2.{number}").status == 202
    assert len(queued_mails(database, EMAIL)) == 2
    for number in range(MAILS_PER_DAY + 3):
        end_mail_pause(database, "reset")
        assert request_reset(sourceIp=f"198.51.100.{number}").status == 202
    assert len(queued_mails(database, EMAIL)) == 1 + MAILS_PER_DAY


@pytest.mark.aurora_dsql
@pytest.mark.asvs("6.3.1")
@pytest.mark.threat("function-mail-flood")
def test_attacker_who_uses_up_the_mails_of_the_day_does_not_stop_those_of_the_user(database, account):
    """The user requests a link from a client IP of an earlier login."""
    for number in range(MAILS_PER_DAY + 3):
        assert request_reset(sourceIp=f"192.0.2.{number}").status == 202
        end_mail_pause(database, "reset")
    sent = len(queued_mails(database, EMAIL))
    assert sent == 1 + MAILS_PER_DAY
    assert request_reset(sourceIp=OTHER_CLIENT_IP).status == 202
    assert len(queued_mails(database, EMAIL)) == sent
    assert request_reset().status == 202
    assert len(queued_mails(database, EMAIL)) == sent + 1
    # Within five minutes of the last mail, the user gets no other one.
    assert request_reset().status == 202
    assert len(queued_mails(database, EMAIL)) == sent + 1
    assert complete_reset(newest_mail(database, EMAIL, "reset_password").token).status == 204


@pytest.mark.sqlite
@pytest.mark.threat("function-mail-flood")
@pytest.mark.parametrize("identity", [{}, {"sourceIp": OTHER_CLIENT_IP}], ids=["known", "unknown"])
def test_one_client_ip_causes_few_links_to_one_address(database, account, identity):
    """So an attacker needs several client IPs to use up the mails of a day. Known client IPs have a limit, too."""
    for _ in range(MAILS_PER_DAY_FROM_CLIENT_IP + 2):
        assert request_reset(**identity).status == 202
        end_mail_pause(database, "reset")
    links = [mail for mail in queued_mails(database, EMAIL) if mail.kind == "reset_password"]
    assert len(links) == MAILS_PER_DAY_FROM_CLIENT_IP
    request_reset(sourceIp="192.0.2.250")
    assert len(queued_mails(database, EMAIL)) == 2 + MAILS_PER_DAY_FROM_CLIENT_IP


@pytest.mark.sqlite
@pytest.mark.threat("function-account-enumeration")
def test_request_from_a_known_client_ip_causes_the_same_statements(database, account):
    """An attacker behind the same client IP learns nothing from the work of a request."""
    request_reset("warm-up@example.com")
    seen = []
    for email in (EMAIL, "unknown@example.com"):
        for _ in range(2):
            statements: list[str] = []
            with on_each_statement(lambda text, _: statements.append(text)):  # noqa: B023 - called within the loop
                assert request_reset(email).status == 202
            seen.append(len(statements))
    assert seen[:2] == seen[2:]


@pytest.mark.asvs("6.3.8")
@pytest.mark.threat("function-account-enumeration")
def test_request_reveals_no_account_by_response_rows_or_statements(database):
    """Also the second request, which sends nothing."""
    addresses = [f"{name}@example.com" for name in ("verified", "unverified", "disabled", "unknown")]
    for email in addresses[:3]:
        register(email=email)
    accounts.mark_email_verified(addresses[0])
    accounts.mark_email_verified(addresses[2])
    accounts.disable_user(addresses[2])
    request_reset("warm-up@example.com")  # creates the engine
    before = len(queued_mails(database))
    seen: list[Any] = []
    for email in addresses:
        for turn in range(2):
            rows = [database.count(table) for table in (mail_tokens, mails, audit_events)]
            statements: list[str] = []
            with on_each_statement(lambda text, _: statements.append(text)):  # noqa: B023 - called within the loop
                response = request_reset(email, sourceIp=f"192.0.2.{len(seen)}")
            added = [database.count(table) for table in (mail_tokens, mails, audit_events)]
            headers = {name: text for name, text in response.headers.items() if name != "x-request-id"}
            assert (response.status, response.json) == (202, {"status": "accepted"})
            seen.append((turn, headers, len(statements), [new - old for new, old in zip(added, rows, strict=True)]))
    assert seen == seen[:2] * 4
    sent = [(mail.recipient, mail.kind) for mail in queued_mails(database)][before:]
    assert sent == [(addresses[0], "reset_password"), (addresses[1], "register_again")]


@pytest.mark.sqlite
def test_without_mail_both_routes_return_503(database, monkeypatch):
    monkeypatch.setenv("MAIL_TRANSPORT", "none")
    start_fresh_environment()
    for response in (request_reset(), complete_reset("mt_unknown")):
        assert outcome(response) == (503, "mail_not_configured")
