"""Authentication of clients: with a secret (RFC 6749 section 2.3.1) or with ``private_key_jwt`` (RFC 7523).

A client has one method, and with ``private_key_jwt`` one algorithm, which its registration fixes. What it sends chooses
neither. An unknown client costs the same query and the same computation as a wrong secret or signature.

Failures are counted after the check, not before it. Nothing here is expensive or can be guessed, so the limits bound
the audit log. Valid credentials are accepted in a lockout, so an attacker cannot lock a client out.
"""

import hashlib
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import unquote_plus

from auth_common.clients.credentials import ALGORITHMS, DECOYS, is_secret, load_public_key
from auth_common.clients.names import is_client_name
from auth_common.clients.store import Client, select_client, use_assertion
from auth_common.errors import InvalidClient, InvalidRequest
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.settings import settings
from auth_common.throttling.service import count_rejected_client
from auth_common.tokens.signed_tokens import InvalidSignedToken, read_unverified, verify_assertion
from auth_common.transactions import read, single_statement

#: The ``client_assertion_type`` of a JWT (RFC 7523 section 2.2).
JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: How long an assertion may be valid. Used ones are stored for this time.
MAX_ASSERTION_LIFETIME: Final = timedelta(minutes=5)
#: The types of JWTs that may be an assertion, in lower case. Many libraries send none, or "JWT". An access token has
#: another type (RFC 8725 section 3.11).
_ASSERTION_TYPES: Final = frozenset({"jwt", "client-authentication+jwt"})


@dataclass(frozen=True, slots=True)
class AuthenticatedClient:
    """A client, and whether it used the credential before the last rotation."""

    client: Client
    used_old_credential: bool


@dataclass(frozen=True, slots=True)
class _Secret:
    """A name and a secret."""

    name: str
    secret: str


@dataclass(frozen=True, slots=True)
class _Assertion:
    """A signed assertion, and what it says about itself."""

    name: str
    algorithm: str
    jwt: str


class _RejectedError(Exception):
    """The authentication failed."""

    def __init__(self, reason: str, *, name: str | None = None, client: Client | None = None) -> None:
        """Store why, the name that was sent if it can be one, and the client if it exists."""
        super().__init__(reason)
        self.reason = reason
        self.name = name
        self.client = client


def authenticate_client(form: Mapping[str, str], authorization: str | None) -> Client:
    """Return the client that has sent a request.

    Args:
        form: the parameters of the request's body.
        authorization: the header field ``Authorization``. None if it is missing.

    Raises:
        InvalidRequest: the request authenticates in more than one way.
        InvalidClient: the client is unknown, or its authentication failed.
        TooManyAttempts: the authentication failed, and the client IP or the client is locked.

    """
    return authenticate(form, authorization).client


def authenticate(form: Mapping[str, str], authorization: str | None) -> AuthenticatedClient:
    """Return the client that has sent a request, and which credential it used.

    Args and errors are those of ``authenticate_client``.
    """
    try:
        presented = _presented(form, authorization)
        client = read(lambda connection: select_client(connection, name=presented.name))
        if isinstance(presented, _Secret):
            return _check_secret(client, presented)
        return _check_assertion(client, presented)
    except _RejectedError as error:
        count_rejected_client(error.name)
        name = error.client.name if error.client else None
        security_event(SecurityEvent.AUTHN_CLIENT_FAIL, reason=error.reason, client=name)
        raise InvalidClient from None


def _presented(form: Mapping[str, str], authorization: str | None) -> _Secret | _Assertion:
    """Return the credential of a request.

    Raises:
        InvalidRequest: the request has more than one (RFC 6749 section 2.3).
        _RejectedError: it has none, or a malformed one.

    """
    methods = (authorization is not None, "client_secret" in form, "client_assertion" in form)
    if sum(methods) > 1:
        raise InvalidRequest("The client must authenticate in one way, and the request has more than one.")
    if authorization is not None:
        presented: _Secret | _Assertion = _basic(authorization)
    elif "client_assertion" in form:
        presented = _assertion(form["client_assertion"], form.get("client_assertion_type"))
    elif "client_secret" in form and "client_id" in form:
        presented = _Secret(form["client_id"], form["client_secret"])
    else:
        raise _RejectedError("no_credentials")
    # RFC 7521 section 4.2: beside an assertion, client_id is optional and names the same client.
    if not is_client_name(presented.name) or form.get("client_id", presented.name) != presented.name:
        raise _RejectedError("malformed_credentials")
    return presented


def _basic(authorization: str) -> _Secret:
    """Return the name and the secret of ``client_secret_basic``, which are encoded as in a form."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise _RejectedError("malformed_credentials")
        name, _, secret = b64decode(encoded.strip(), validate=True).decode("ascii").partition(":")
    except ValueError:
        raise _RejectedError("malformed_credentials") from None
    return _Secret(unquote_plus(name), unquote_plus(secret))


def _assertion(assertion: str, kind: str | None) -> _Assertion:
    """Return a signed assertion, if a client may have signed it."""
    try:
        header, claims = read_unverified(assertion)
    except InvalidSignedToken:
        raise _RejectedError("malformed_credentials") from None
    name, algorithm, token_type = claims.get("sub"), header.get("alg"), header.get("typ", "JWT")
    if kind != JWT_BEARER or not isinstance(name, str) or not isinstance(token_type, str):
        raise _RejectedError("malformed_credentials")
    # Checked before the client is known, so "none" and HS256 never reach a verification.
    if algorithm not in ALGORITHMS or token_type.lower() not in _ASSERTION_TYPES:
        raise _RejectedError("malformed_credentials")
    return _Assertion(name, algorithm, assertion)


def _check_secret(client: Client | None, presented: _Secret) -> AuthenticatedClient:
    current, old = _credentials(client, algorithm=None)
    is_current = is_secret(presented.secret, stored_hash=current)
    is_old = is_secret(presented.secret, stored_hash=old)
    # After the work, which is the same for every client.
    registered = _require_registered(client, presented.name, algorithm=None)
    if not (is_current or is_old):
        raise _RejectedError("wrong_secret", name=presented.name, client=registered)
    return AuthenticatedClient(registered, used_old_credential=not is_current)


def _check_assertion(client: Client | None, presented: _Assertion) -> AuthenticatedClient:
    of_current, of_old = (_verify(presented, key) for key in _credentials(client, algorithm=presented.algorithm))
    registered = _require_registered(client, presented.name, algorithm=presented.algorithm)
    claims = of_current or of_old
    if claims is None:
        raise _RejectedError("assertion_not_valid", name=presented.name, client=registered)
    # The verification accepts an assertion for as long as the leeway after its expiry.
    expires_at = datetime.fromtimestamp(claims["exp"] + settings().clock_leeway, UTC)
    assertion_hash = hashlib.sha256(registered.id.bytes + claims["jti"].encode()).digest()
    if not single_statement(
        lambda connection: use_assertion(connection, assertion_hash=assertion_hash, expires_at=expires_at)
    ):
        raise _RejectedError("assertion_replayed", name=presented.name, client=registered)
    return AuthenticatedClient(registered, used_old_credential=of_current is None)


def _credentials(client: Client | None, *, algorithm: str | None) -> tuple[bytes, bytes]:
    """Return two stored credentials to compare with: those of the client, or decoys for a client without them."""
    if client is None or client.algorithm != algorithm:
        return DECOYS[algorithm], DECOYS[algorithm]
    return client.credential, client.old_credential or client.credential


def _require_registered(client: Client | None, name: str, *, algorithm: str | None) -> Client:
    """Return the client, if it exists and is registered for this method and algorithm.

    Raises:
        _RejectedError: it does not, or is not.

    """
    if client is None:
        raise _RejectedError("unknown_client", name=name)
    if client.algorithm != algorithm:
        raise _RejectedError("wrong_method", name=name, client=client)
    return client


def _verify(presented: _Assertion, key: bytes) -> dict[str, Any] | None:
    try:
        return verify_assertion(
            presented.jwt,
            key=load_public_key(key),
            algorithm=presented.algorithm,
            client=presented.name,
            audience=settings().issuer(),
            max_lifetime=MAX_ASSERTION_LIFETIME,
        )
    except InvalidSignedToken:
        return None
