"""Neither the response nor the time of POST /login reveals which addresses are registered (ASVS 5.0 6.3.8).

The tests count bcrypt computations and their costs instead of measuring time.
"""

import pytest
from sqlalchemy import update

from auth_common.database.tables import refresh_tokens, sessions, throttles, users
from auth_common.passwords.policy import MAX_LENGTH
from tests.support.databases import start_fresh_environment
from tests.support.factories import EMAIL, PASSWORD, log_in, register
from tests.support.outages import on_each_statement

pytestmark = [pytest.mark.login, pytest.mark.sqlite]

DISABLED = "disabled@example.com"
UNKNOWN = "nobody@example.com"


@pytest.fixture
def registered(database):
    register(email=EMAIL)
    register(email=DISABLED)
    database.execute(update(users).where(users.c.email == DISABLED).values(status="disabled"))
    return database


WRONG = ["another password entirely", "", "a" * (MAX_LENGTH + 1), f"{PASSWORD}\x00"]
FAILURES = [
    *((EMAIL, password) for password in WRONG),
    *((email, password) for email in (UNKNOWN, DISABLED) for password in (PASSWORD, *WRONG)),
]


@pytest.mark.asvs("4.1.1", "6.3.4", "6.3.8", "11.2.4")
@pytest.mark.threat("function-account-enumeration")
def test_all_failed_logins_get_the_same_response_and_cost_one_hash(registered, hash_costs):
    seen = []
    for email, password in FAILURES:
        registered.execute(throttles.delete())
        hash_costs.clear()
        answer = log_in(email, password)
        assert hash_costs == [4], (email, password)
        problem, headers = answer.json, dict(answer.headers)
        assert problem.pop("request_id") == headers.pop("x-request-id")
        seen.append((problem, headers))
    assert seen == [seen[0]] * len(FAILURES)
    ((problem, headers), *_) = seen
    assert (problem["status"], problem["code"], headers["www-authenticate"]) == (401, "invalid_credentials", "Bearer")
    assert registered.count(sessions) == registered.count(refresh_tokens) == 0


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_unknown_address_causes_as_many_statements_as_a_known_one(registered):
    """Without pipelining each statement is a round trip, and a client can measure one more of them."""
    log_in(EMAIL, "wrong")  # creates the engine
    counts = []
    for email in (EMAIL, UNKNOWN):
        asked: list[object] = []
        with on_each_statement(lambda *statement: asked.append(statement)):  # noqa: B023 - called within the loop
            log_in(email, "wrong")
        counts.append(len(asked))
    assert counts[0] == counts[1] > 0


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("cost", [5, 8])
def test_failed_logins_cost_the_same_work_after_the_cost_was_raised(registered, hash_costs, monkeypatch, cost):
    """A hash of cost c takes 2^c rounds. The stored hashes still have the old cost, 4."""
    monkeypatch.setenv("BCRYPT_COST", str(cost))
    start_fresh_environment()
    for attempt in FAILURES:
        registered.execute(throttles.delete())
        hash_costs.clear()
        assert log_in(*attempt).code == "invalid_credentials", attempt
        assert sum(2**each for each in hash_costs) == 2**cost, attempt


@pytest.mark.usefixtures("registered")
def test_success_and_first_unknown_address_cost_one_hash(hash_costs):
    hash_costs.clear()
    assert log_in().status == 200
    start_fresh_environment()
    assert [log_in(UNKNOWN).status for _ in range(2)] == [401, 401]
    assert hash_costs == [4, 4, 4]


@pytest.mark.asvs("16.3.1")
@pytest.mark.usefixtures("registered")
def test_reason_of_a_failed_login_is_in_the_security_event(log_lines):
    """The reason is in the security event only, so the security team sees it and the client does not."""
    for email, password in [(UNKNOWN, PASSWORD), (EMAIL, "another password entirely"), (DISABLED, PASSWORD)]:
        log_in(email, password)
    failures = [event for event in log_lines.security_events if event["name"] == "authn_login_fail"]
    assert [event["reason"] for event in failures] == ["unknown_user", "wrong_password", "user_not_active"]
    assert ["user_id" in event for event in failures] == [False, True, True]
    assert not any(address in log_lines.text for address in (UNKNOWN, EMAIL, DISABLED))
