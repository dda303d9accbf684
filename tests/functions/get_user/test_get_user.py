"""GET /users/{id}: callers read their own data and admins all users. The database decides at every request."""

from uuid import uuid4

import pytest
from sqlalchemy import update

from auth_common.database.privileges import READER_ROLE
from auth_common.database.tables import users
from tests.support.databases import acting_as
from tests.support.factories import EMAIL, get_user

pytestmark = [pytest.mark.accounts, pytest.mark.sqlite]


def make_admin(database, account):
    database.execute(update(users).where(users.c.email == account.email).values(role="admin"))


@pytest.mark.aurora_dsql
@pytest.mark.asvs("10.3.2", "15.3.1")
def test_caller_gets_their_own_data(person):
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
        "email_verified": False,
        "role": "user",
    }


@pytest.mark.aurora_dsql
@pytest.mark.asvs("8.2.2", "10.3.2")
@pytest.mark.threat("function-data-of-others")
def test_ids_of_others_and_unknown_ids_get_the_same_response(person, other, log_lines):
    """A caller cannot read another user or find out which ids exist (OWASP API1:2023, BOLA)."""
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
def test_admin_may_read_any_user_and_the_read_is_recorded(database, person, other, log_lines):
    make_admin(database, person)
    answer = get_user(other.id, token=person.access_token)
    assert (answer.status, answer.json["email"]) == (200, "other@example.com")
    recorded = log_lines.security_events[-1]
    assert (recorded["name"], recorded["user_id"], recorded["target"]) == ("sensitive_read", person.id, other.id)


def test_unknown_id_requested_by_an_admin_returns_404(database, person):
    make_admin(database, person)
    for user_id in ("00000000-0000-4000-8000-000000000000", "not an id"):
        answer = get_user(user_id, token=person.access_token)
        assert (answer.status, answer.code) == (404, "not_found"), user_id


@pytest.mark.asvs("8.3.1", "8.3.2")
@pytest.mark.threat("authorizer-stale-token")
def test_revoked_admin_role_takes_effect_at_once(database, person, other):
    """The role in the token is for other services. This service reads the role from the database."""
    make_admin(database, person)
    token = person.access_token
    assert get_user(other.id, token=token).status == 200
    for role in ("user", "security"):
        database.execute(update(users).values(role=role))
        assert get_user(other.id, token=token).status == 403


@pytest.mark.aurora_dsql
def test_readers_privileges_are_sufficient(database, person, other):
    make_admin(database, other)
    with acting_as(READER_ROLE):
        assert get_user(person.id, token=person.access_token).status == 200
        assert get_user(other.id, token=person.access_token).status == 403
        assert get_user(person.id, token=other.access_token).status == 200
