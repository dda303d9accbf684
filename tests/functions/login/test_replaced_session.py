"""A login revokes the session whose access token the request carries (ASVS 5.0 7.2.4)."""

import time
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import select, update

from auth_common.accounts import administration as accounts
from auth_common.database.tables import sessions
from auth_common.tokens.access_tokens import issue_access_token
from tests.support.databases import start_fresh_environment
from tests.support.events import json_event
from tests.support.factories import (
    EMAIL,
    NEW_PASSWORD,
    PASSWORD,
    change_password,
    erase,
    is_session_accepted,
    log_in,
    log_out,
    refresh,
    session_id,
)
from tests.support.forged_tokens import forger_with_stolen_key
from tests.support.functions import call
from tests.support.outages import failing_statements
from tests.support.passkeys import complete_login, enrol, post_without_token
from tests.support.races import on_each_isolation_level, send_burst
from tests.support.throttles import guess_password, use_limits, with_broken_signature

pytestmark = [pytest.mark.login, pytest.mark.sessions, pytest.mark.sqlite]


LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def carrying(token):
    return {"headers": {"Authorization": f"Bearer {token}"}}


def revocations(log_lines):
    """Return the events of revoked sessions: user, reason and number of sessions."""
    events = [event for event in log_lines.security_events if event["name"] == "authn_token_revoked"]
    return [(event["user_id"], event["reason"], event["sessions_ended"]) for event in events]


@pytest.fixture
def holder(database):
    """A user with a passkey."""
    return enrol()


# --- Which session is revoked -----------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.2.2", "7.2.4")
def test_login_with_an_access_token_revokes_its_session(person, log_lines):
    elsewhere = log_in().json
    new = log_in(**carrying(person.access_token)).json
    assert revocations(log_lines) == [(person.id, "replaced_by_login", 1)]
    assert not is_session_accepted(person.id, person.pair)
    assert is_session_accepted(person.id, new)
    assert is_session_accepted(person.id, elsewhere)


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.2.4")
def test_login_as_another_user_revokes_the_clients_session(person, other, log_lines):
    new = log_in(other.email, **carrying(person.access_token)).json
    assert revocations(log_lines) == [(person.id, "replaced_by_login", 1)]
    assert not is_session_accepted(person.id, person.pair)
    assert is_session_accepted(other.id, new)
    assert is_session_accepted(other.id, other.pair)


def test_scheme_is_accepted_in_any_case(person):
    assert log_in(headers={"authorization": f"bEARER {person.access_token}"}).status == 200
    assert not is_session_accepted(person.id, person.pair)


@pytest.mark.asvs("7.2.4")
def test_login_with_password_and_passkey_revokes_the_session_at_its_end(holder, log_lines):
    account = holder.account
    old = account.access_token
    mfa_token = log_in(**carrying(old)).json["mfa_token"]
    begun = post_without_token("/webauthn/login/begin", {"mfa_token": mfa_token}, **carrying(old)).json
    failed = complete_login(begun, with_broken_signature(holder, begun), **carrying(old))
    assert failed.code == "passkey_login_failed"
    assert revocations(log_lines) == []
    new = complete_login(*holder.begin_and_answer_login(holder.get_mfa_token()), **carrying(old)).json
    assert revocations(log_lines) == [(account.id, "replaced_by_login", 1)]
    assert not is_session_accepted(account.id, account.pair)
    assert is_session_accepted(account.id, new)


@pytest.mark.asvs("7.2.4")
def test_login_with_a_passkey_alone_revokes_the_session(holder):
    new = complete_login(*holder.begin_and_answer_login(), **carrying(holder.account.access_token)).json
    assert not is_session_accepted(holder.account.id, holder.account.pair)
    assert is_session_accepted(holder.account.id, new)


@on_each_isolation_level
@pytest.mark.usefixtures("isolation")
def test_concurrent_logins_that_replace_one_session_succeed(person, log_lines):
    """For example two tabs. The session is revoked once, and each tab gets a session of its own."""
    assert send_burst(4, lambda _: log_in(**carrying(person.access_token))) == {200: 4}
    assert revocations(log_lines) == [(person.id, "replaced_by_login", 1)]


# --- When no session is revoked ---------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.2.4")
def test_failed_login_revokes_nothing(person, other, monkeypatch):
    """Otherwise a mistyped password would log the user out."""
    own = carrying(person.access_token)
    body = {"email": EMAIL, "password": PASSWORD, "unknown": "field"}
    accounts.disable_user(other.email)
    assert guess_password(**own).code == "invalid_credentials"
    assert log_in("unknown@example.com", **own).code == "invalid_credentials"
    assert log_in(other.email, **own).code == "invalid_credentials"
    assert call("login", json_event("POST", "/login", body, **own)).status == 422
    with failing_statements("INSERT INTO refresh_tokens"):
        assert log_in(**own).status == 503
    use_limits(monkeypatch, login_per_account_and_source=1)
    assert [guess_password(**own).status, log_in(**own).status] == [401, 429]
    assert is_session_accepted(person.id, person.pair)


def old_token_of(person):
    """Return an access token of the session that expired an hour ago."""
    return issue_access_token(
        user_id=UUID(person.id),
        role="user",
        session_id=UUID(session_id(person.access_token)),
        token_version=0,
        amr=("pwd",),
        auth_time=int(time.time()) - 4_500,
        now=int(time.time()) - 4_500,
    )


def with_other_claims(person, **claims):
    forger = forger_with_stolen_key()
    own = {"sub": person.id, "sid": session_id(person.access_token)}
    return forger.token(claims=forger.claims(**own | claims))


@pytest.mark.asvs("9.2.2")
@pytest.mark.threat("authorizer-other-token-type")
def test_token_that_is_not_valid_is_ignored(person, other, log_lines):
    """A client whose access token has expired must be able to log in."""
    mfa_token = enrol(other).get_mfa_token()
    token = person.access_token
    ignored = [
        *("", "Bearer", "Bearer ", "null", f"Basic {token}", f"Bearer  {token}", f"Bearer {token},", token),
        *(f"Bearer {each}" for each in ("null", mfa_token, person.refresh_token, token[:-4] + "AAAA", "x" * 9_000)),
        *(f"Bearer {each}" for each in (old_token_of(person), with_other_claims(person, aud="another service"))),
    ]
    for header in ignored:
        assert log_in(headers={"Authorization": header}).status == 200, header
    event = json_event("POST", "/login", {"email": EMAIL, "password": PASSWORD})
    event["multiValueHeaders"]["Authorization"] = [f"Bearer {token}"] * 2
    assert call("login", event).status == 200
    assert log_lines.reasons("authn_token_rejected") == []
    assert is_session_accepted(person.id, person.pair)


def test_token_of_another_users_session_revokes_nothing(person, other):
    """Only a stolen signing key makes such a token. The user and the session of a token must belong together."""
    assert log_in(**carrying(with_other_claims(person, sub=other.id))).status == 200
    assert is_session_accepted(person.id, person.pair)


ENDS = {
    "logged out": lambda _, person: log_out(person.access_token),
    "session expired": lambda database, _: database.execute(update(sessions).values(expires_at=LONG_AGO)),
    "disabled by an operator": lambda _, person: accounts.disable_user(person.email),
    "user erased": lambda _, person: erase(person.email),
}


@pytest.mark.aurora_dsql
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_token_of_a_session_that_is_not_valid_is_ignored(database, person, other, log_lines, end):
    end(database, person)
    before = database.execute(select(sessions.c.id, sessions.c.revoked_at))
    assert log_in(other.email, **carrying(person.access_token)).status == 200
    assert "replaced_by_login" not in log_lines.reasons("authn_token_revoked")
    assert log_lines.reasons("authn_token_rejected") == []
    assert set(before) < set(database.execute(select(sessions.c.id, sessions.c.revoked_at)))


def test_token_from_before_a_password_change_revokes_nothing(person):
    """The change keeps the session and rejects its earlier access tokens, of which an attacker may have one."""
    stolen = person.access_token
    assert change_password(person).status == 204
    assert log_in(password=NEW_PASSWORD, **carrying(stolen)).status == 200
    assert refresh(person.refresh_token).status == 200


def test_login_with_a_token_and_without_public_keys_is_503(person, monkeypatch):
    """The service does not know then whether it must revoke a session."""
    monkeypatch.setenv("JWKS", "{}")
    start_fresh_environment()
    assert log_in(**carrying(person.access_token)).status == 503
    assert log_in().status == 200
