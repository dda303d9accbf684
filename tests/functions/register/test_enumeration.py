"""With NEUTRAL_REGISTRATION, a registration does not reveal whether an address has an account (ASVS 5.0 6.3.8)."""

import pytest
from sqlalchemy import select

from auth_common.database.tables import users
from tests.support.databases import start_fresh_environment
from tests.support.factories import EMAIL, log_in, register

pytestmark = [pytest.mark.accounts, pytest.mark.sqlite]

OTHER_PASSWORD = "copper lantern forty rivers"


@pytest.fixture(autouse=True)
def neutral(database, monkeypatch):
    monkeypatch.setenv("NEUTRAL_REGISTRATION", "true")
    start_fresh_environment()


def visible(answer):
    """Return the parts of a response that a client sees, without the request id."""
    return answer.status, answer.text, {name: text for name, text in answer.headers.items() if name != "x-request-id"}


@pytest.mark.asvs("6.3.8")
def test_new_and_taken_address_get_the_same_response_and_cost_the_same(database, hash_costs, log_lines):
    """The security event contains the reason."""
    new, taken = register(name="First Person"), register(name="Second Person", password=OTHER_PASSWORD)
    assert visible(new) == visible(taken)
    assert (new.status, new.json) == (202, {"status": "accepted"})
    assert "location" not in new.headers
    assert hash_costs == [4, 4]
    created, refused = log_lines.security_events
    assert (created["name"], refused["name"]) == ("user_created", "user_creation_fail")
    assert (refused["reason"], refused["user_id"]) == ("email_taken", created["user_id"])
    assert database.execute(select(users.c.name)) == [("First Person",)]
    assert (log_in().status, log_in(password=OTHER_PASSWORD).status) == (200, 401)


def test_neutral_registration_rejects_bad_input_by_field():
    answer = register(password="short")
    assert (answer.status, answer.fields) == (422, {"password"})


def test_new_and_taken_address_count_for_the_client_ip(monkeypatch):
    monkeypatch.setenv("THROTTLE_REGISTRATION_PER_SOURCE", "2")
    start_fresh_environment()
    assert [register(email=email).status for email in (EMAIL, EMAIL, "other@example.com")] == [202, 202, 429]
