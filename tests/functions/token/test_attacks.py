"""Attacks with service tokens: a client uses its own token as a user's."""

import time

import pytest

from auth_common.clients.registration import InvalidRegistration
from auth_common.errors import InvalidToken
from auth_common.tokens.access_tokens import verify_access_token
from auth_common.tokens.service_tokens import issue_service_token
from tests.support.clients import NAME, RESOURCE, basic, register_client, request_token
from tests.support.databases import start_fresh_environment
from tests.support.factories import get_user, log_in
from tests.support.forged_tokens import forger_with_stolen_key
from tests.support.functions import authorize
from tests.support.route_requests import body_of, encode_body, route_name, send_to_route
from tests.support.routes import PROTECTED

pytestmark = [pytest.mark.clients, pytest.mark.sqlite]


@pytest.fixture
def service_tokens(database):
    """Service tokens as the service issues them, and as no operator can register them: for the audience of users."""
    genuine = request_token(authorization=basic(NAME, register_client())).json["access_token"]
    now = int(time.time())

    def as_user(client_id):
        return issue_service_token(
            subject=f"client:{NAME}", client_id=client_id, audience="secure-backend-users", scope="admin", now=now
        )

    return {
        "genuine": genuine,
        "for this service": as_user(NAME),
        "of a client with the name of a role": as_user("admin"),
    }


def send(route, context, user_id):
    """Send a request that is valid in form to a route, for a user's own data."""
    parameters = {"id": user_id} if "{id}" in route.path else None
    body = body_of(route)
    encoded = None if body is None else encode_body(route, body)
    return send_to_route(route, context, segment=user_id, path_parameters=parameters, body=encoded)


@pytest.mark.asvs("9.2.2", "9.2.3", "10.3.1")
@pytest.mark.threat("client-token-as-user", "authorizer-other-token-type")
def test_every_protected_route_rejects_a_service_token(service_tokens, person):
    for kind, token in service_tokens.items():
        with pytest.raises(InvalidToken):
            verify_access_token(token)
        for route in PROTECTED:
            answer = authorize(token, method=route.method, path=route.path.replace("{id}", person.id))
            (statement,) = answer["policyDocument"]["Statement"]
            assert statement["Effect"] == "Deny", (kind, route_name(route))
            # The function rejects the request too, because it has no context of the authorizer.
            assert send(route, answer.get("context"), person.id).code == "invalid_token", route_name(route)


@pytest.mark.threat("client-token-as-user")
def test_service_token_with_the_id_of_a_user_is_rejected(person):
    """The claims that a service token lacks make the difference, and not its subject or its audience."""
    token = issue_service_token(
        subject=person.id, client_id=NAME, audience="secure-backend-users", scope=None, now=int(time.time())
    )
    with pytest.raises(InvalidToken):
        verify_access_token(token)
    assert authorize(token)["policyDocument"]["Statement"][0]["Effect"] == "Deny"


@pytest.mark.threat("client-token-as-user")
@pytest.mark.parametrize("missing", ["sid", "tv"])
def test_user_token_without_session_or_version_is_rejected(environment, missing):
    forger = forger_with_stolen_key()
    claims = {name: value for name, value in forger.claims().items() if name != missing}
    with pytest.raises(InvalidToken):
        verify_access_token(forger.token(claims=claims))


@pytest.mark.threat("client-token-as-user")
def test_login_with_a_service_token_revokes_no_session(service_tokens, person):
    """POST /login accepts the access token of an earlier session, and revokes that session."""
    for token in service_tokens.values():
        assert log_in(headers={"Authorization": f"Bearer {token}"}).status == 200
    assert get_user(person.id, token=person.access_token).status == 200


@pytest.mark.threat("client-token-as-user")
def test_audience_of_users_cannot_be_a_resource_of_a_client(database):
    with pytest.raises(InvalidRegistration):
        register_client(resources=["secure-backend-users"])
    # Otherwise "client_id" would not tell the tokens of both.
    with pytest.raises(InvalidRegistration):
        register_client("first-party")


@pytest.mark.threat("client-token-as-user")
@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [("TOKEN_CLIENT_ID", NAME, "unauthorized_client"), ("TOKEN_AUDIENCE", RESOURCE, "invalid_target")],
)
def test_client_that_looks_like_a_user_since_a_new_setting_gets_no_token(database, monkeypatch, setting, value, code):
    """The registration rejects it, but knows the settings of the operator's shell at that time only."""
    secret = register_client()
    monkeypatch.setenv(setting, value)
    start_fresh_environment()
    answer = request_token(authorization=basic(NAME, secret))
    assert (answer.status, answer.code) == (400, code)


@pytest.mark.threat("client-token-as-user")
def test_users_token_gets_no_service_token(database, person):
    answer = request_token(authorization=f"Bearer {person.access_token}")
    assert (answer.status, answer.code) == (401, "invalid_client")
