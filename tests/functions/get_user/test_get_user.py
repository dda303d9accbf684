"""GET /users/{id}: who may see whom, decided from the database at every request."""

import time
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import update

from auth_common.db.privileges import READER_ROLE
from auth_common.db.tables import sessions, users
from tests.support.databases import acting_as
from tests.support.events import proxy_event
from tests.support.factories import EMAIL, get_user
from tests.support.functions import authorize, call

pytestmark = [pytest.mark.accounts, pytest.mark.aurora_dsql]


def make_admin(database, account):
    database.execute(update(users).where(users.c.email == account.email).values(role="admin"))


def get_with_context(user_id, context):
    return call(
        "get_user", proxy_event("GET", f"/users/{user_id}", path_parameters={"id": user_id}, authorizer=context)
    )


@pytest.mark.asvs("10.3.2", "15.3.1")
def test_answers_the_callers_own_data(person):
    answer = get_user(person.id, token=person.access_token)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    user = answer.json
    assert user.pop("created_at").endswith("Z")
    assert user == {
        "id": person.id,
        "name": "Test Person",
        "email": EMAIL,
        "date_of_birth": "1980-04-14",
        "job_title": "Engineer",
        "role": "user",
    }


@pytest.mark.asvs("8.2.2", "10.3.2")
@pytest.mark.threat("function-data-of-others")
def test_somebody_elses_id_and_an_unknown_one_answer_alike(person, other, log_lines):
    """OWASP API1:2023 (BOLA); a caller cannot find out which ids exist."""
    answers = [
        get_user(user_id, token=person.access_token)
        for user_id in (
            other.id,
            str(uuid4()),
            "me",
            "1",
            "%00",
            "'--",
            "x" * 2_000,
            other.id.upper(),
            f"{{{person.id}}}",
        )
    ]
    for answer in answers:
        assert (answer.status, answer.code) == (403, "forbidden")
        assert answer.json["detail"] == "You may not do this."
        assert "other@example.com" not in answer.text
    recorded = [event for event in log_lines.security_events if event["name"] == "authz_fail"]
    assert len(recorded) == len(answers)
    assert all((event["user_id"], event["reason"]) == (person.id, "not_self") for event in recorded)
    assert {event["target"] for event in recorded} >= {other.id, "not an id"}


@pytest.mark.asvs("16.3.2")
def test_an_admin_sees_everybody_and_that_is_recorded(database, person, other, log_lines):
    make_admin(database, person)
    answer = get_user(other.id, token=person.access_token)
    assert (answer.status, answer.json["email"]) == (200, "other@example.com")
    recorded = log_lines.security_events[-1]
    assert (recorded["name"], recorded["user_id"], recorded["target"]) == ("sensitive_read", person.id, other.id)


@pytest.mark.parametrize("user_id", ["00000000-0000-4000-8000-000000000000", "nobody"])
def test_an_admin_gets_404_for_an_id_that_is_not_there(database, person, user_id):
    make_admin(database, person)
    answer = get_user(user_id, token=person.access_token)
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.asvs("8.3.1", "8.3.2")
@pytest.mark.threat("authorizer-stale-token")
def test_a_role_that_was_taken_away_counts_at_once(database, person, other):
    """The role in the token is for others; we ask the database."""
    make_admin(database, person)
    token = person.access_token
    assert get_user(other.id, token=token).status == 200
    database.execute(update(users).values(role="user"))
    assert get_user(other.id, token=token).status == 403


def test_the_security_role_does_not_open_personal_data(database, person, other):
    database.execute(update(users).where(users.c.email == EMAIL).values(role="security"))
    assert get_user(other.id, token=person.access_token).status == 403


@pytest.mark.asvs("7.2.1", "7.4.1")
@pytest.mark.threat("authorizer-stale-token")
@pytest.mark.parametrize(
    "change",
    [
        update(sessions).values(revoked_at=datetime(2026, 1, 1, tzinfo=UTC)),
        update(sessions).values(expires_at=datetime(2026, 1, 1, tzinfo=UTC)),
        update(users).values(status="disabled"),
        update(users).values(token_version=1),
    ],
    ids=["session revoked", "session expired", "user disabled", "token version raised"],
)
def test_an_ended_session_answers_401_although_the_token_is_still_good(database, person, change):
    database.execute(change)
    answer = get_user(person.id, token=person.access_token)
    assert (answer.status, answer.code) == (401, "invalid_token")
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.asvs("9.2.1")
@pytest.mark.threat("authorizer-stale-token")
def test_a_token_that_expired_while_the_gateway_had_it_in_its_cache_is_refused(person):
    context = authorize(person.access_token)["context"]
    assert get_with_context(person.id, context).status == 200
    within_leeway = {**context, "expires_at": str(int(time.time()) - 5)}
    assert get_with_context(person.id, within_leeway).status == 200
    beyond = {**context, "expires_at": str(int(time.time()) - 31)}
    assert get_with_context(person.id, beyond).code == "invalid_token"


@pytest.mark.asvs("8.3.3", "10.3.2")
def test_a_session_serves_its_own_user_only(person, other):
    context = authorize(person.access_token)["context"]
    stolen = {**context, "user_id": other.id}
    assert get_with_context(other.id, stolen).code == "invalid_token"


@pytest.mark.asvs("4.1.3", "8.3.1")
@pytest.mark.threat("gateway-forged-context")
@pytest.mark.parametrize("missing", ["user_id", "session_id", "token_version", "expires_at"])
@pytest.mark.parametrize("value", [None, "", "x", "[]", "9" * 5_000, {}])
def test_a_context_that_the_authorizer_did_not_write_is_nobodys(person, missing, value):
    context = authorize(person.access_token)["context"]
    assert get_with_context(person.id, {**context, missing: value}).code == "invalid_token"


@pytest.mark.asvs("8.3.1", "16.5.3")
@pytest.mark.threat("gateway-open-route")
@pytest.mark.parametrize("context", [None, {}, {"principalId": "x"}])
def test_a_route_that_lost_its_authorizer_stays_closed(person, context):
    answer = get_with_context(person.id, context)
    assert (answer.status, answer.code) == (401, "invalid_token")


def test_a_request_context_of_null_is_nobodys(person):
    event = proxy_event("GET", f"/users/{person.id}", path_parameters={"id": person.id})
    event["requestContext"]["authorizer"] = None
    assert call("get_user", event).code == "invalid_token"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_wrong_method_answers_405(person, method):
    context = authorize(person.access_token)["context"]
    answer = call("get_user", proxy_event(method, f"/users/{person.id}", authorizer=context), is_routed=False)
    assert (answer.status, answer.headers["allow"]) == (405, "GET")


def test_it_needs_no_more_than_a_readers_privileges(database, person, other):
    make_admin(database, other)
    with acting_as(READER_ROLE):
        assert get_user(person.id, token=person.access_token).status == 200
        assert get_user(other.id, token=person.access_token).status == 403
        assert get_user(person.id, token=other.access_token).status == 200
