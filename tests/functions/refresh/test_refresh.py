"""POST /token/refresh: each token is exchanged once. What happens if it is presented again."""

import base64
import json
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from sqlalchemy import select, update

from auth_common.database.tables import refresh_tokens, sessions, users
from tests.support.events import json_event
from tests.support.factories import EMAIL, get_user, is_session_accepted, log_in, refresh
from tests.support.functions import call
from tests.support.outages import signing_key_away

pytestmark = [pytest.mark.sessions, pytest.mark.sqlite]

DAY_SECONDS = 24 * 3600
GRACE_PERIOD_SECONDS = 10


class Clock:
    """The clock of the refresh. It stops until a test advances it."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC).replace(microsecond=0)

    def now(self, zone: tzinfo) -> datetime:
        return self.time.astimezone(zone)

    def advance(self, **duration: float) -> None:
        self.time += timedelta(**duration)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("auth_common.sessions.refresh.datetime", clock)
    return clock


def decode_claims(access_token):
    return json.loads(base64.urlsafe_b64decode(access_token.split(".")[1] + "=="))


def renewed(token):
    """Exchange ``token``, require a success, and return the successor."""
    answer = refresh(token)
    assert answer.status == 200, answer.text
    return answer.json["refresh_token"]


def is_rejected(token):
    answer = refresh(token)
    return (answer.status, answer.code) == (401, "invalid_refresh_token")


def only_session(database):
    (session,) = database.execute(select(sessions))
    return session


# --- Rotation -----------------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.2.2", "16.3.1")
def test_refresh_returns_a_new_pair_of_the_same_session(person, log_lines):
    """The old access token stays valid until it expires."""
    answer = refresh(person.refresh_token)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    pair = answer.json
    assert {get_user(person.id, token=token).status for token in (person.access_token, pair["access_token"])} == {200}
    before, after = decode_claims(person.access_token), decode_claims(pair.pop("access_token"))
    assert before.pop("jti") != after.pop("jti")
    for claims in (before, after):
        claims["lifetime"] = claims.pop("exp") - claims.pop("iat")
        del claims["nbf"]
    assert before == after
    event = log_lines.security_events[-1]
    assert (event["name"], event["user_id"], event["session_id"]) == ("authn_token_created", person.id, before["sid"])
    successor = pair.pop("refresh_token")
    assert successor.startswith("rt_")
    assert successor != person.refresh_token
    assert pair == {"token_type": "Bearer", "expires_in": 900, "refresh_expires_in": 7 * DAY_SECONDS}


@pytest.mark.aurora_dsql
def test_each_refresh_adds_a_generation_to_the_family(database, clock, person):
    before = only_session(database)
    token = person.refresh_token
    for _ in range(4):
        clock.advance(hours=1)
        token = renewed(token)
    after = only_session(database)
    assert (after.generation, after.last_used_at) == (4, clock.time)
    unchanged = ("id", "amr", "auth_time", "source_ip", "user_agent", "expires_at", "revoked_at")
    assert [getattr(before, name) for name in unchanged] == [getattr(after, name) for name in unchanged]
    rows = database.execute(select(refresh_tokens).order_by(refresh_tokens.c.generation))
    assert [(row.generation, row.spent_at is None) for row in rows] == [(number, number == 4) for number in range(5)]


# --- Reuse of a spent token ---------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("8.2.4", "10.4.5", "16.3.3")
@pytest.mark.threat("function-stolen-refresh-token")
def test_reuse_of_a_grandparent_revokes_its_session_only(person, log_lines):
    """RFC 9700 section 4.14.2. The revocation is committed although the request fails."""
    other = log_in().json
    parent = renewed(person.refresh_token)
    newest = refresh(parent).json
    assert all(is_rejected(token) for token in (person.refresh_token, parent, newest["refresh_token"]) * 2)
    assert get_user(person.id, token=newest["access_token"]).code == "invalid_token"
    assert is_session_accepted(person.id, other)
    # Only the first reuse is recorded as one.
    assert log_lines.reasons("authn_token_reuse") == ["spent_token_reused"]
    assert log_lines.reasons("authn_token_rejected") == ["session_revoked"] * 6
    reuse = next(event for event in log_lines.security_events if event["name"] == "authn_token_reuse")
    assert (reuse["user_id"], reuse["outcome"]) == (person.id, "failure")
    assert reuse["session_id"] == decode_claims(person.access_token)["sid"]


@pytest.mark.aurora_dsql
@pytest.mark.asvs("10.4.5")
def test_parent_after_the_grace_period_revokes_the_session(database, clock, person):
    newest = refresh(person.refresh_token).json
    clock.advance(seconds=GRACE_PERIOD_SECONDS, microseconds=1)
    assert is_rejected(person.refresh_token)
    assert only_session(database).revoked_at == clock.time
    assert is_rejected(newest["refresh_token"])
    assert get_user(person.id, token=newest["access_token"]).status == 401


# --- Grace period -------------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("10.4.5")
def test_parent_gets_the_same_successor_in_the_grace_period(clock, person):
    """The client lost the response, or two tabs refreshed at once. Further uses do not extend the grace period."""
    first = refresh(person.refresh_token).json
    for passed, seconds in ((0, 0), (3, 3), (GRACE_PERIOD_SECONDS, GRACE_PERIOD_SECONDS - 3)):
        clock.advance(seconds=seconds)
        again = refresh(person.refresh_token)
        assert (again.status, again.json["refresh_token"]) == (200, first["refresh_token"])
        assert again.json["refresh_expires_in"] == first["refresh_expires_in"] - passed
        assert get_user(person.id, token=again.json["access_token"]).status == 200
    clock.advance(seconds=1)
    assert is_rejected(person.refresh_token)
    assert is_rejected(first["refresh_token"])


@pytest.mark.threat("function-stolen-refresh-token")
def test_second_holder_of_a_token_who_refreshes_later_is_detected(clock, person, log_lines):
    """Two holders have one token. After one has used it, the use by the other is a reuse. Either is the attacker."""
    ours = theirs = renewed(person.refresh_token)
    assert renewed(person.refresh_token) == theirs
    ours = renewed(ours)
    clock.advance(seconds=GRACE_PERIOD_SECONDS + 1)
    assert is_rejected(theirs)
    assert is_rejected(ours)
    assert log_lines.reasons("authn_token_reuse") == ["spent_token_reused"]


@pytest.mark.aurora_dsql
def test_clock_that_is_behind_does_not_change_the_order_of_tokens(database, clock, person):
    """The clocks of two environments differ. So the generation, and not the time, decides which token is the parent."""
    first = person.refresh_token
    second = renewed(first)
    clock.advance(seconds=-20)
    assert renewed(first) == second
    third = renewed(second)
    rows = database.execute(select(refresh_tokens.c.issued_at).order_by(refresh_tokens.c.generation))
    assert rows[2] < rows[1]
    assert renewed(second) == third
    assert is_rejected(first)
    assert is_rejected(third)


def test_expired_parent_in_the_grace_period_is_rejected_without_reuse(database, clock, person, log_lines):
    ((expires_at,),) = database.execute(select(refresh_tokens.c.expires_at))
    clock.time = expires_at - timedelta(seconds=5)
    newest = renewed(person.refresh_token)
    clock.advance(seconds=5)
    assert is_rejected(person.refresh_token)
    assert log_lines.reasons("authn_token_rejected") == ["token_expired"]
    renewed(newest)


@pytest.mark.asvs("2.3.3", "16.5.2")
@pytest.mark.threat("signing-key-away")
def test_refresh_without_the_signing_key_spends_no_token(database, clock, person, monkeypatch):
    """Otherwise each retry after an outage of KMS would be a reuse, and revoke the session of its user."""
    with signing_key_away(monkeypatch):
        assert refresh(person.refresh_token).code == "service_unavailable"
    clock.advance(hours=1)
    renewed(person.refresh_token)


# --- Expiry and revocation ----------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.3.1", "10.4.8")
def test_token_expires_after_seven_days_without_use(database, clock, person):
    ((clock.time,),) = database.execute(select(refresh_tokens.c.expires_at))
    assert is_rejected(person.refresh_token)
    clock.advance(microseconds=-1)
    renewed(person.refresh_token)


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.3.2", "10.4.8")
@pytest.mark.threat("caller-stolen-device")
def test_session_in_use_expires_after_thirty_days(database, clock, person, log_lines):
    token, end = person.refresh_token, only_session(database).expires_at
    clock.time = end - timedelta(days=30)
    lifetimes = []
    for _ in range(5):
        clock.advance(days=5)
        answer = refresh(token).json
        token = answer["refresh_token"]
        lifetimes.append(answer["refresh_expires_in"])
    assert lifetimes == [7 * DAY_SECONDS, 7 * DAY_SECONDS, 7 * DAY_SECONDS, 7 * DAY_SECONDS, 5 * DAY_SECONDS]
    clock.time = end - timedelta(seconds=1)
    answer = refresh(token).json
    assert answer["refresh_expires_in"] == 1
    clock.advance(seconds=1)
    assert is_rejected(answer["refresh_token"])
    assert log_lines.reasons("authn_token_rejected") == ["session_expired"]


LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
INVALID = {
    "session_revoked": update(sessions).values(revoked_at=LONG_AGO),
    "session_expired": update(sessions).values(expires_at=LONG_AGO),
    "token_expired": update(refresh_tokens).values(expires_at=LONG_AGO),
    "user_not_active": update(users).values(status="disabled"),
    "token_version_changed": update(users).values(token_version=1),
}


@pytest.mark.parametrize("reason", INVALID)
@pytest.mark.parametrize("spent", [False, True], ids=["live", "parent in the grace period"])
def test_token_of_an_invalid_session_is_rejected_with_its_reason(database, person, log_lines, *, reason, spent):
    if spent:
        renewed(person.refresh_token)
    database.execute(INVALID[reason])
    before = database.execute(select(refresh_tokens))
    assert is_rejected(person.refresh_token)
    assert database.execute(select(refresh_tokens)) == before
    assert log_lines.reasons("authn_token_rejected") == [reason]
    assert log_lines.reasons("authn_token_reuse") == []


@pytest.mark.asvs("7.4.2")
def test_user_disabled_and_enabled_again_must_log_in(database, person):
    """``accounts disable`` raises the token version too, so tokens that were stolen before stay invalid."""
    database.execute(update(users).values(status="disabled", token_version=1))
    assert is_rejected(person.refresh_token)
    database.execute(update(users).values(status="active"))
    assert is_rejected(person.refresh_token)
    renewed(log_in().json["refresh_token"])


def test_new_access_token_has_the_current_role(database, person):
    database.execute(update(users).where(users.c.email == EMAIL).values(role="security"))
    assert decode_claims(refresh(person.refresh_token).json["access_token"])["role"] == "security"


# --- Tokens that are not valid ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("person")
def test_text_that_is_not_a_refresh_token_is_rejected(log_lines):
    texts = ["", "x", "rt_", "rt_" + "A" * 43, "\x00", "é" * 40, "' OR 1=1 --", "r" * 64, "r" * 65, "r" * 1_024, "null"]
    for text in texts:
        answer = refresh(text)
        assert (answer.status, answer.code) == (401, "invalid_refresh_token"), text
        assert answer.headers["www-authenticate"] == "Bearer"
    assert log_lines.reasons("authn_token_rejected") == ["unknown_token"] * len(texts)


def test_other_spelling_of_a_refresh_token_is_rejected(person):
    token = person.refresh_token
    others = [f" {token}", f"{token}\n", f"{token}=", token.upper(), token.removeprefix("rt_"), token[:-1]]
    assert all(is_rejected(other) for other in (*others, person.access_token))
    renewed(token)


@pytest.mark.asvs("14.2.4")
@pytest.mark.threat("database-read-or-backup")
def test_stored_tokens_are_hashed_and_hashes_are_rejected(database, person):
    tokens = [person.refresh_token, renewed(person.refresh_token)]
    rows = database.execute(select(refresh_tokens))
    stored = b"".join(part for row in rows for part in row if type(part) is bytes)
    assert len(stored) > 2 * 32
    for token in tokens:
        assert token.encode() not in stored
        assert base64.urlsafe_b64decode(token.removeprefix("rt_") + "=") not in stored
    for row in rows:
        for stored in (row.token_hash, row.successor or b""):
            assert is_rejected(stored.hex()[:64])
            assert is_rejected("rt_" + base64.urlsafe_b64encode(stored).decode().rstrip("=")[:43])
    assert only_session(database).revoked_at is None


def test_all_rejections_have_equal_responses(clock, person):
    """An attacker learns neither whether a token has existed nor that its reuse was detected."""
    newest = renewed(renewed(person.refresh_token))
    answers = [refresh(token).json for token in (person.refresh_token, newest, "rt_" + "A" * 43)]
    assert len({answer.pop("request_id") for answer in answers}) == 3
    assert answers[0] == answers[1] == answers[2]


NOT_VALID: list[Any] = [[], "rt_x", {"refresh_token": "\ud800"}]
BAD_BODIES: list[tuple[Any, set[str]]] = [
    ({}, {"refresh_token"}),
    *(({"refresh_token": value}, {"refresh_token"}) for value in (None, 7, ["rt_x"], "r" * 1_025)),
    ({"refresh_token": "rt_x", "role": "admin"}, {"role"}),
    *((body, {"body"}) for body in NOT_VALID),
]


@pytest.mark.usefixtures("environment")
def test_bad_input_returns_422():
    for body, fields in BAD_BODIES:
        answer = call("refresh", json_event("POST", "/token/refresh", body))
        assert (answer.status, answer.code, answer.fields) == (422, "validation_failed", fields), body
