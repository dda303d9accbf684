"""Notices of logins from new clients, and of lockouts: when they are sent, and what they must not reveal."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from auth_common.accounts import administration as accounts
from auth_common.database.tables import audit_events, mails, sessions, throttles, users
from auth_common.keys.keyed_hashes import throttle_key
from auth_common.throttling.known_clients import CLIENT_KNOWN_FOR
from tests.support.databases import Database, start_fresh_environment
from tests.support.factories import EMAIL, NEW_PASSWORD, Account, log_in, register, sign_up
from tests.support.mail_links import complete_reset, newest_mail, queued_mails, request_reset
from tests.support.outages import failing_statements, on_each_statement
from tests.support.passkeys import complete_login, enrol
from tests.support.races import before_statement
from tests.support.throttles import (
    OTHER_CLIENT_IP,
    UNKNOWN_EMAIL,
    expire_counts,
    expire_lockouts,
    guess_password,
    use_limits,
)

pytestmark = [pytest.mark.mail, pytest.mark.login]

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
ELSEWHERE: dict[str, Any] = {"sourceIp": OTHER_CLIENT_IP, "userAgent": FIREFOX}


@pytest.fixture
def account(database) -> Account:
    """A user with a verified address, who has logged in from the usual client."""
    account = sign_up()
    accounts.mark_email_verified(EMAIL)
    return account


def notices(database: Database, kind: str = "new_login"):
    return [mail for mail in queued_mails(database) if mail.kind == kind]


def from_new_client(number):
    return {"sourceIp": f"198.51.100.{number}", "userAgent": f"{FIREFOX} {number}"}


@pytest.mark.asvs("6.3.5")
@pytest.mark.parametrize("database", ["postgresql", "auroradsql"], indirect=True)
@pytest.mark.parametrize("command", [accounts.revoke_sessions_of, accounts.disable_user])
def test_login_during_a_command_that_makes_clients_unknown_is_rejected(database, account, log_lines, command):
    """Otherwise a client that an operator has just made unknown could log in without a notice."""
    with before_statement("WITH limits", lambda: command(EMAIL)):
        assert log_in().status == 401
    failures = [event for event in log_lines.security_events if event["name"] == "authn_login_fail"]
    assert [event["reason"] for event in failures] == ["token_version_changed"]
    assert database.count(sessions) == 1, "the one from before the command"


@pytest.mark.asvs("6.3.5")
@pytest.mark.aurora_dsql
def test_login_from_a_new_client_sends_a_notice(database, account):
    assert log_in(**ELSEWHERE).status == 200
    (notice,) = notices(database)
    assert notice.recipient == EMAIL
    assert notice.undo_token.startswith("mt_")
    told = {name: notice.variables[name] for name in ("device", "client_ip", "further_logins")}
    assert told == {"device": "Firefox, Linux", "client_ip": OTHER_CLIENT_IP, "further_logins": "0"}
    # By now it is known.
    end_pause(database, account)
    assert log_in(**ELSEWHERE).status == 200
    assert len(notices(database)) == 1


@pytest.mark.sqlite
@pytest.mark.parametrize("client", [{}, {"sourceIp": OTHER_CLIENT_IP}, {"userAgent": FIREFOX}], ids=str)
def test_login_with_a_known_client_ip_or_device_sends_no_notice(database, account, client):
    assert log_in(**client).status == 200
    assert notices(database) == []


@pytest.mark.sqlite
def test_first_login_sends_no_notice(database):
    register()
    accounts.mark_email_verified(EMAIL)
    assert log_in(**ELSEWHERE).status == 200
    assert notices(database) == []
    assert log_in(**from_new_client(1)).status == 200
    assert len(notices(database)) == 1


@pytest.mark.sqlite
@pytest.mark.asvs("6.3.5")
def test_login_after_a_long_absence_sends_a_notice(database, account):
    long_ago = datetime.now(UTC) - CLIENT_KNOWN_FOR - timedelta(minutes=1)
    database.execute(update(sessions).values(auth_time=long_ago))
    database.execute(update(users).values(created_at=long_ago))
    assert log_in().status == 200
    assert len(notices(database)) == 1


@pytest.mark.sqlite
def test_client_of_a_password_reset_is_known(database, account):
    request_reset()
    complete_reset(newest_mail(database, EMAIL, "reset_password").token, sourceIp=OTHER_CLIENT_IP)
    assert log_in(password=NEW_PASSWORD, **ELSEWHERE).status == 200
    assert notices(database) == []


@pytest.mark.sqlite
def test_clients_of_revoked_logins_are_not_known(database, account):
    """An attacker whose sessions the user has revoked must not log in again unnoticed."""
    assert log_in(**ELSEWHERE).status == 200
    accounts.revoke_sessions_of(EMAIL)
    end_pause(database, account)
    assert log_in(**ELSEWHERE).status == 200
    assert len(notices(database)) == 2


@pytest.mark.sqlite
@pytest.mark.asvs("6.3.5")
@pytest.mark.parametrize("is_alone", [False, True], ids=["second factor", "passkey alone"])
def test_login_with_a_passkey_from_a_new_client_sends_a_notice(database, account, is_alone):
    holder = enrol(account)

    def log_in_with_passkey(**client):
        mfa_token = None if is_alone else holder.get_mfa_token()
        return complete_login(*holder.begin_and_answer_login(mfa_token), **client)

    assert log_in_with_passkey().status == 200
    assert notices(database) == []
    assert log_in_with_passkey(**ELSEWHERE).status == 200
    assert len(notices(database)) == 1


@pytest.mark.sqlite
@pytest.mark.threat("function-mail-flood")
def test_one_notice_an_hour_and_the_next_counts_the_logins_between(database, account):
    for number in range(4):
        assert log_in(**from_new_client(number)).status == 200
    assert [notice.variables["further_logins"] for notice in notices(database)] == ["0"]
    end_pause(database, account)
    assert log_in(**from_new_client(4)).status == 200
    assert log_in(**from_new_client(5)).status == 200
    assert [notice.variables["further_logins"] for notice in notices(database)] == ["0", "3"]


def end_pause(database: Database, account: Account) -> None:
    """End the hour after a notice of a new login."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    counter = throttles.c.key == throttle_key("new_login_notice", account.id)
    database.execute(update(throttles).where(counter).values(locked_until=past))


@pytest.mark.sqlite
@pytest.mark.threat("function-mail-flood")
def test_address_that_is_not_verified_gets_no_notice_of_logins_and_lockouts(database, monkeypatch):
    use_limits(monkeypatch, login_per_account_and_source=3)
    account = sign_up()
    holder = enrol(account)
    assert complete_login(*holder.begin_and_answer_login(), **ELSEWHERE).status == 200
    accounts.remove_passkeys(EMAIL)
    assert log_in(**from_new_client(1)).status == 200
    for _ in range(3):
        guess_password()
    assert {mail.kind for mail in queued_mails(database)} == {"verify_email"}


@pytest.mark.asvs("6.3.5")
@pytest.mark.threat("function-mail-flood")
@pytest.mark.sqlite
def test_lockout_sends_one_notice_a_day(database, account, monkeypatch):
    use_limits(monkeypatch, login_per_account_and_source=3, login_per_account=5)
    for number in range(3):
        assert notices(database, "account_locked") == [], number
        guess_password()
    (notice,) = notices(database, "account_locked")
    assert (notice.recipient, notice.undo_token) == (EMAIL, "")
    assert notice.variables["client_ip"]
    # Further lockouts: of the same client IP, and of the account from other client IPs.
    expire_lockouts(database)
    guess_password()
    for number in range(6):
        guess_password(sourceIp=f"192.0.2.{number}")
    assert len(notices(database, "account_locked")) == 1
    expire_counts(database)
    for _ in range(3):
        guess_password(sourceIp=OTHER_CLIENT_IP)
    assert len(notices(database, "account_locked")) == 2


@pytest.mark.sqlite
def test_lockout_whose_notice_fails_stays(database, account, monkeypatch):
    use_limits(monkeypatch, login_per_account_and_source=3)
    with failing_statements("INSERT INTO mails"):
        assert [guess_password().status for _ in range(4)] == [401, 401, 401, 429]


@pytest.mark.sqlite
def test_lockout_of_a_client_ip_at_other_accounts_sends_no_notice(database, account, monkeypatch):
    use_limits(monkeypatch, login_per_source=3)
    for number in range(2):
        guess_password(f"person{number}@example.com")
    guess_password()
    assert notices(database, "account_locked") == []


@pytest.mark.asvs("6.3.8")
@pytest.mark.threat("function-account-enumeration")
@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_lockout_causes_the_same_response_rows_and_statements_for_every_address(database, monkeypatch):
    """An attacker brings about two lockouts in a day, of which the first one sends a notice to a verified address."""
    use_limits(monkeypatch, login_per_account_and_source=3)
    addresses = [f"{name}@example.com" for name in ("verified", "unverified", "disabled")]
    for email in addresses:
        register(email=email)
    accounts.mark_email_verified(addresses[0])
    accounts.mark_email_verified(addresses[2])
    accounts.disable_user(addresses[2])
    guess_password("warm-up@example.com")  # creates the engine
    seen: list[Any] = []
    for email in (*addresses, UNKNOWN_EMAIL):
        traces: list[Any] = []
        for turn in range(4):
            expire_lockouts(database)
            rows = [database.count(table) for table in (mails, throttles, audit_events)]
            statements: list[str] = []
            with on_each_statement(lambda text, _: statements.append(text)):  # noqa: B023 - called within the loop
                response = guess_password(email, sourceIp=f"192.0.2.{len(seen)}")
            added = [database.count(table) for table in (mails, throttles, audit_events)]
            headers = {name: text for name, text in response.headers.items() if name != "x-request-id"}
            assert (response.status, response.code) == (401, "invalid_credentials")
            # The counters of an attempt are in the order of their keys, which are random.
            work = [new - old for new, old in zip(added, rows, strict=True)], sorted(statements)
            traces.append((turn, headers, *work))
        seen.append(traces)
    assert seen == seen[:1] * 4
    assert [added[0] for _, _, added, _ in seen[0]] == [0, 0, 1, 0]
    assert [mail.recipient for mail in notices(database, "account_locked")] == addresses[:1]
    decoys = database.execute(select(mails.c.kind).where(mails.c.kind == "account_locked"))
    assert len(decoys) == 4


@pytest.mark.sqlite
def test_without_mail_a_lockout_counts_no_notice(database, account, monkeypatch):
    monkeypatch.setenv("MAIL_TRANSPORT", "none")
    start_fresh_environment()
    use_limits(monkeypatch, login_per_account_and_source=3)
    for _ in range(3):
        guess_password()
    keys = {key for (key,) in database.execute(select(throttles.c.key))}
    assert throttle_key("lockout_notice", account.id) not in keys
