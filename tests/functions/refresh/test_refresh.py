"""POST /token/refresh: each token once, and what happens when one comes back."""

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

DAY = 24 * 3600
GRACE = 10


class Clock:
    """The clock that the exchange reads. It stands still until a test moves it."""

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


def claims_of(access_token):
    return json.loads(base64.urlsafe_b64decode(access_token.split(".")[1] + "=="))


def renewed(token):
    """Exchange ``token``, which must succeed, and return its successor."""
    answer = refresh(token)
    assert answer.status == 200, answer.text
    return answer.json["refresh_token"]


def refused(token):
    answer = refresh(token)
    return (answer.status, answer.code) == (401, "invalid_refresh_token")


def session_of(database):
    (session,) = database.execute(select(sessions))
    return session


# --- Rotation -----------------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.2.2", "16.3.1")
def test_refresh_returns_a_new_pair_of_the_same_session(person, log_lines):
    """A rotation is no logout: the old access token works until it expires."""
    answer = refresh(person.refresh_token)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    pair = answer.json
    assert {get_user(person.id, token=token).status for token in (person.access_token, pair["access_token"])} == {200}
    before, after = claims_of(person.access_token), claims_of(pair.pop("access_token"))
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
    assert pair == {"token_type": "Bearer", "expires_in": 900, "refresh_expires_in": 7 * DAY}


@pytest.mark.aurora_dsql
def test_a_family_goes_on_and_its_generations_are_counted(database, clock, person):
    before = session_of(database)
    token = person.refresh_token
    for _ in range(4):
        clock.advance(hours=1)
        token = renewed(token)
    after = session_of(database)
    assert (after.generation, after.last_used_at) == (4, clock.time)
    unchanged = ("id", "amr", "auth_time", "source_ip", "user_agent", "expires_at", "revoked_at")
    assert [getattr(before, name) for name in unchanged] == [getattr(after, name) for name in unchanged]
    rows = database.execute(select(refresh_tokens).order_by(refresh_tokens.c.generation))
    assert [(row.generation, row.spent_at is None) for row in rows] == [(number, number == 4) for number in range(5)]


# --- A spent token comes back -------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("8.2.4", "10.4.5", "16.3.3")
@pytest.mark.threat("function-stolen-refresh-token")
def test_grandparent_revokes_the_family_and_no_other_session(person, log_lines):
    """RFC 9700 section 4.14.2. The revocation is committed although the request fails."""
    other = log_in().json
    parent = renewed(person.refresh_token)
    newest = refresh(parent).json
    assert all(refused(token) for token in (person.refresh_token, parent, newest["refresh_token"]) * 2)
    assert get_user(person.id, token=newest["access_token"]).code == "invalid_token"
    assert is_session_accepted(person.id, other)
    # Each further use is no second theft.
    assert log_lines.reasons("authn_token_reuse") == ["spent_token_reused"]
    assert log_lines.reasons("authn_token_rejected") == ["session_revoked"] * 6
    theft = next(event for event in log_lines.security_events if event["name"] == "authn_token_reuse")
    assert (theft["user_id"], theft["outcome"]) == (person.id, "failure")
    assert theft["session_id"] == claims_of(person.access_token)["sid"]


@pytest.mark.aurora_dsql
@pytest.mark.asvs("10.4.5")
def test_a_parent_after_the_grace_ends_the_family(database, clock, person):
    newest = refresh(person.refresh_token).json
    clock.advance(seconds=GRACE, microseconds=1)
    assert refused(person.refresh_token)
    assert session_of(database).revoked_at == clock.time
    assert refused(newest["refresh_token"])
    assert get_user(person.id, token=newest["access_token"]).status == 401


# --- The grace ----------------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("10.4.5")
def test_parent_gets_the_same_successor_within_the_grace_of_its_first_use(clock, person):
    """Its holder lost the response, or two tabs refreshed at once. An attacker cannot extend the grace by using it."""
    first = refresh(person.refresh_token).json
    for passed, seconds in ((0, 0), (3, 3), (GRACE, GRACE - 3)):
        clock.advance(seconds=seconds)
        again = refresh(person.refresh_token)
        assert (again.status, again.json["refresh_token"]) == (200, first["refresh_token"])
        assert again.json["refresh_expires_in"] == first["refresh_expires_in"] - passed
        assert get_user(person.id, token=again.json["access_token"]).status == 200
    clock.advance(seconds=1)
    assert refused(person.refresh_token)
    assert refused(first["refresh_token"])


@pytest.mark.threat("function-stolen-refresh-token")
def test_of_two_who_hold_one_token_the_one_who_falls_behind_is_found_out(clock, person, log_lines):
    """The losing branch of a fork, presented later, is theft; it does not matter which of them is the thief."""
    ours = theirs = renewed(person.refresh_token)
    assert renewed(person.refresh_token) == theirs
    ours = renewed(ours)
    clock.advance(seconds=GRACE + 1)
    assert refused(theirs)
    assert refused(ours)
    assert log_lines.reasons("authn_token_reuse") == ["spent_token_reused"]


@pytest.mark.aurora_dsql
def test_a_clock_that_is_behind_changes_no_order(database, clock, person):
    """Two environments' clocks differ: the counter, not the time, says who is whose parent."""
    first = person.refresh_token
    second = renewed(first)
    clock.advance(seconds=-20)
    assert renewed(first) == second
    third = renewed(second)
    rows = database.execute(select(refresh_tokens.c.issued_at).order_by(refresh_tokens.c.generation))
    assert rows[2] < rows[1]
    assert renewed(second) == third
    assert refused(first)
    assert refused(third)


def test_an_expired_token_fails_even_within_the_grace_and_is_no_theft(database, clock, person, log_lines):
    ((expires_at,),) = database.execute(select(refresh_tokens.c.expires_at))
    clock.time = expires_at - timedelta(seconds=5)
    newest = renewed(person.refresh_token)
    clock.advance(seconds=5)
    assert refused(person.refresh_token)
    assert log_lines.reasons("authn_token_rejected") == ["token_expired"]
    renewed(newest)


@pytest.mark.asvs("2.3.3", "16.5.2")
@pytest.mark.threat("signing-key-away")
def test_without_the_signing_key_no_token_is_spent(database, clock, person, monkeypatch):
    """Else an hour without KMS would turn every client's next try into theft, and log everybody out."""
    with signing_key_away(monkeypatch):
        assert refresh(person.refresh_token).code == "service_unavailable"
    clock.advance(hours=1)
    renewed(person.refresh_token)


# --- The end of a session -----------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.3.1", "10.4.8")
def test_a_token_expires_after_seven_days_without_use(database, clock, person):
    ((clock.time,),) = database.execute(select(refresh_tokens.c.expires_at))
    assert refused(person.refresh_token)
    clock.advance(microseconds=-1)
    renewed(person.refresh_token)


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.3.2", "10.4.8")
@pytest.mark.threat("caller-stolen-device")
def test_a_session_ends_after_thirty_days_however_busy_it_is(database, clock, person, log_lines):
    token, end = person.refresh_token, session_of(database).expires_at
    clock.time = end - timedelta(days=30)
    lifetimes = []
    for _ in range(5):
        clock.advance(days=5)
        answer = refresh(token).json
        token = answer["refresh_token"]
        lifetimes.append(answer["refresh_expires_in"])
    assert lifetimes == [7 * DAY, 7 * DAY, 7 * DAY, 7 * DAY, 5 * DAY]
    clock.time = end - timedelta(seconds=1)
    answer = refresh(token).json
    assert answer["refresh_expires_in"] == 1
    clock.advance(seconds=1)
    assert refused(answer["refresh_token"])
    assert log_lines.reasons("authn_token_rejected") == ["session_expired"]


LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
ENDS = {
    "session_revoked": update(sessions).values(revoked_at=LONG_AGO),
    "session_expired": update(sessions).values(expires_at=LONG_AGO),
    "token_expired": update(refresh_tokens).values(expires_at=LONG_AGO),
    "user_not_active": update(users).values(status="disabled"),
    "token_version_changed": update(users).values(token_version=1),
}


@pytest.mark.parametrize("reason", ENDS)
@pytest.mark.parametrize("spent", [False, True], ids=["live", "parent within the grace"])
def test_token_of_an_ended_session_is_rejected(database, person, log_lines, *, reason, spent):
    if spent:
        renewed(person.refresh_token)
    database.execute(ENDS[reason])
    before = database.execute(select(refresh_tokens))
    assert refused(person.refresh_token)
    assert database.execute(select(refresh_tokens)) == before
    assert log_lines.reasons("authn_token_rejected") == [reason]
    assert log_lines.reasons("authn_token_reuse") == []


@pytest.mark.asvs("7.4.2")
def test_a_user_who_was_disabled_and_enabled_again_logs_in_anew(database, person):
    """``accounts disable`` raises the token version too: what was stolen before stays worthless."""
    database.execute(update(users).values(status="disabled", token_version=1))
    assert refused(person.refresh_token)
    database.execute(update(users).values(status="active"))
    assert refused(person.refresh_token)
    renewed(log_in().json["refresh_token"])


def test_the_new_access_token_has_the_role_of_this_moment(database, person):
    database.execute(update(users).where(users.c.email == EMAIL).values(role="security"))
    assert claims_of(refresh(person.refresh_token).json["access_token"])["role"] == "security"


# --- What is no refresh token -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("person")
def test_text_that_is_no_refresh_token_is_rejected_like_a_spent_one(log_lines):
    texts = ["", "x", "rt_", "rt_" + "A" * 43, "\x00", "é" * 40, "' OR 1=1 --", "r" * 64, "r" * 65, "r" * 1_024, "null"]
    for text in texts:
        answer = refresh(text)
        assert (answer.status, answer.code) == (401, "invalid_refresh_token"), text
        assert answer.headers["www-authenticate"] == "Bearer"
    assert log_lines.reasons("authn_token_rejected") == ["unknown_token"] * len(texts)


def test_other_spelling_of_a_refresh_token_is_rejected(person):
    token = person.refresh_token
    others = [f" {token}", f"{token}\n", f"{token}=", token.upper(), token.removeprefix("rt_"), token[:-1]]
    assert all(refused(other) for other in (*others, person.access_token))
    renewed(token)


@pytest.mark.asvs("14.2.4")
@pytest.mark.threat("database-read-or-backup")
def test_stored_tokens_are_hashed_and_are_no_refresh_tokens(database, person):
    tokens = [person.refresh_token, renewed(person.refresh_token)]
    rows = database.execute(select(refresh_tokens))
    stored = b"".join(part for row in rows for part in row if type(part) is bytes)
    assert len(stored) > 2 * 32
    for token in tokens:
        assert token.encode() not in stored
        assert base64.urlsafe_b64decode(token.removeprefix("rt_") + "=") not in stored
    for row in rows:
        for stored in (row.token_hash, row.successor or b""):
            assert refused(stored.hex()[:64])
            assert refused("rt_" + base64.urlsafe_b64encode(stored).decode().rstrip("=")[:43])
    assert session_of(database).revoked_at is None


def test_all_refusals_are_alike(clock, person):
    """A thief learns from the answer neither whether a token has existed nor that the theft is known."""
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
