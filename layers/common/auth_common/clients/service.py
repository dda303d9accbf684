"""The client credentials grant (RFC 6749 section 4.4): a client gets an access token of its own."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from auth_common.clients.authentication import authenticate
from auth_common.clients.store import Client
from auth_common.errors import InvalidScope, InvalidTarget, UnauthorizedClient, UnsupportedGrantType
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.settings import settings
from auth_common.tokens.service_tokens import issue_service_token


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """An access token of a client, its lifetime in seconds, and its scopes separated by spaces."""

    access_token: str
    expires_in: int
    scope: str | None


def grant_client_credentials(form: Mapping[str, str], authorization: str | None) -> ServiceToken:
    """Return an access token for the client that has sent a request. There is no refresh token.

    Args:
        form: the parameters of the request's body.
        authorization: the header field ``Authorization``. None if it is missing.

    Raises:
        UnsupportedGrantType: the grant type is another one.
        InvalidRequest: the request authenticates in more than one way.
        InvalidClient: the client is unknown, or its authentication failed.
        TooManyAttempts: the authentication failed, and the client IP or the client is locked.
        UnauthorizedClient: tokens of users have the client's name as ``client_id``.
        InvalidScope: a scope is not registered for the client.
        InvalidTarget: the resource is not registered for the client.

    """
    if form.get("grant_type") != "client_credentials":
        raise UnsupportedGrantType
    authenticated = authenticate(form, authorization)
    client = authenticated.client
    if client.name == settings().token_client_id:
        # An operator may have registered it before the setting, or from a shell without the setting.
        raise UnauthorizedClient
    resource = _resource(client, form.get("resource"))
    scopes = _scopes(client, form.get("scope"))
    scope = " ".join(scopes) or None
    token = issue_service_token(
        subject=client.subject, client_id=client.name, audience=resource, scope=scope, now=int(time.time())
    )
    security_event(
        SecurityEvent.AUTHN_CLIENT_TOKEN_CREATED,
        client=client.name,
        scope=scope,
        resource=resource,
        credential="old" if authenticated.used_old_credential else "current",
    )
    return ServiceToken(token, settings().service_token_lifetime, scope)


def _resource(client: Client, requested: str | None) -> str:
    """Return the audience of the token: the requested resource, or the only one that is registered (RFC 8707)."""
    resources = client.resources if requested is None else [each for each in client.resources if each == requested]
    if len(resources) != 1 or resources[0] == settings().token_audience:
        raise InvalidTarget
    return resources[0]


def _scopes(client: Client, requested: str | None) -> tuple[str, ...]:
    """Return the requested scopes, or all that are registered if the request names none (RFC 6749 section 3.3)."""
    if requested is None:
        return client.scopes
    scopes = tuple(dict.fromkeys(requested.split(" ")))
    if not set(scopes) <= set(client.scopes):
        raise InvalidScope
    return scopes
