"""Registration of clients by operators. No endpoint can add a client, change one or show a secret."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from auth_common.clients import store
from auth_common.clients.credentials import hash_secret, new_secret
from auth_common.clients.names import is_client_name, is_resource, is_scope
from auth_common.clients.store import Client
from auth_common.errors import NotFound
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.settings import settings
from auth_common.transactions import read, transaction

#: A token with all scopes stays far below the size that verifiers accept.
MAX_SCOPES = MAX_RESOURCES = 20


class InvalidRegistration(ValueError):
    """The operator's input is not valid. The text says why."""


@dataclass(frozen=True, slots=True)
class PublicKeyCredential:
    """A public key in DER, and the algorithm of the client's assertions (``credentials.parse_public_key``)."""

    algorithm: str
    der: bytes


def add_client(
    name: str,
    *,
    resources: Sequence[str],
    scopes: Sequence[str],
    audience: str | None = None,
    may_introspect: bool = False,
    public_key: PublicKeyCredential | None = None,
) -> tuple[Client, str | None]:
    """Register a client. Return it, and its secret, which is stored nowhere, unless it has a public key.

    Args:
        name: the ``client_id``.
        resources: the audiences for which it may request tokens.
        scopes: the scopes that it may request.
        audience: the audience of the tokens that it accepts itself, for introspection.
        may_introspect: whether it may introspect tokens of ``audience``.
        public_key: its key for ``private_key_jwt``. None: it gets a secret.

    Raises:
        InvalidRegistration: a value is not valid, or a client has this name.

    """
    _require_valid(name, resources, scopes, audience=audience, may_introspect=may_introspect)
    secret, algorithm, credential = _new_credential(public_key)
    client = Client(
        id=uuid4(),
        name=name,
        audience=audience,
        resources=tuple(dict.fromkeys(resources)),
        scopes=tuple(dict.fromkeys(scopes)),
        may_introspect=may_introspect,
        algorithm=algorithm,
        credential=credential,
        created_at=datetime.now(UTC),
    )

    def add(connection: Connection) -> None:
        store.insert_client(connection, client)
        security_event(
            SecurityEvent.CLIENT_CREATED,
            reason="by_operator",
            client=name,
            method=method_of(client),
            scopes=list(client.scopes),
            resources=list(client.resources),
            introspects="yes" if may_introspect else None,
        )

    try:
        transaction(add)
    except IntegrityError:
        raise InvalidRegistration("a client has this name already") from None
    return client, secret


def list_clients() -> list[Client]:
    """Return all clients by name."""
    return read(store.select_clients)


def rotate_credential(
    name: str, *, public_key: PublicKeyCredential | None = None, ends_old_now: bool = False
) -> tuple[Client, str | None]:
    """Give a client a new credential. Return it and its secret, as ``add_client`` does.

    The credential before stays valid until ``end_old_credential``, so the service can be changed without a gap. After
    a change of the method or the algorithm, it ends at once, because a client has one of each.

    Args:
        name: the client.
        public_key: its new key. None: it gets a secret.
        ends_old_now: whether all credentials before end at once, for example after a leak.

    Raises:
        NotFound: no client has this name.
        InvalidRegistration: two credentials are valid already, the key is one of them, or another operator has changed
            them.

    """
    secret, algorithm, credential = _new_credential(public_key)

    def rotate(connection: Connection) -> Client:
        before = _required(connection, name)
        if before.old_credential is not None and not ends_old_now:
            raise InvalidRegistration("two credentials are valid already; end the old one first")
        if before.algorithm != algorithm and not ends_old_now:
            raise InvalidRegistration("another method or algorithm ends the credential before at once; confirm that")
        # Otherwise a key that has leaked would stay valid after its rotation.
        if credential in {before.credential, before.old_credential}:
            raise InvalidRegistration("the client has this key already; give a new one")
        after = replace(
            before,
            algorithm=algorithm,
            credential=credential,
            old_credential=None if ends_old_now else before.credential,
            rotated_at=datetime.now(UTC),
        )
        return _replace(connection, before, after, "old_ended_now" if ends_old_now else "rotated")

    return transaction(rotate), secret


def end_old_credential(name: str) -> Client:
    """End the credential before the last rotation. Return the client.

    Raises:
        NotFound: no client has this name.
        InvalidRegistration: the client has one credential, or another operator has changed them.

    """

    def end(connection: Connection) -> Client:
        before = _required(connection, name)
        if before.old_credential is None:
            raise InvalidRegistration("the client has one credential; nothing has changed")
        return _replace(connection, before, replace(before, old_credential=None), "old_ended")

    return transaction(end)


def remove_client(name: str) -> None:
    """Delete a client. Its tokens stay valid until they expire, and introspection rejects them at once.

    Raises:
        NotFound: no client has this name.

    """

    def remove(connection: Connection) -> None:
        store.delete_client(connection, client_id=_required(connection, name).id)
        security_event(SecurityEvent.CLIENT_DELETED, reason="by_operator", client=name)

    transaction(remove)


def method_of(client: Client) -> str:
    """Return how a client authenticates: ``client_secret``, or the algorithm of its key."""
    return client.algorithm or "client_secret"


def _new_credential(public_key: PublicKeyCredential | None) -> tuple[str | None, str | None, bytes]:
    """Return a secret, an algorithm and what is stored. The first or the second is None."""
    if public_key is not None:
        return None, public_key.algorithm, public_key.der
    secret = new_secret()
    return secret, None, hash_secret(secret)


def _require_valid(
    name: str, resources: Sequence[str], scopes: Sequence[str], *, audience: str | None, may_introspect: bool
) -> None:
    if not is_client_name(name):
        raise InvalidRegistration("the name must have 1 to 64 characters of a-z, 0-9, dot, hyphen and underscore")
    if name == settings().token_client_id:
        raise InvalidRegistration("the name is TOKEN_CLIENT_ID, which tokens of users have")
    if not all(map(is_scope, scopes)) or len(scopes) > MAX_SCOPES:
        message = f"there may be {MAX_SCOPES} scopes, each with up to 64 letters, digits and . _ : / -"
        raise InvalidRegistration(message)
    if not all(map(is_resource, resources)) or len(resources) > MAX_RESOURCES:
        message = f"there may be {MAX_RESOURCES} resources, each an absolute URI without a fragment"
        raise InvalidRegistration(message)
    if settings().token_audience in resources:
        raise InvalidRegistration("TOKEN_AUDIENCE is for tokens of users; give the service an audience of its own")
    if audience is not None and audience != settings().token_audience and not is_resource(audience):
        raise InvalidRegistration("the audience must be an absolute URI without a fragment, or TOKEN_AUDIENCE")
    if may_introspect and audience is None:
        raise InvalidRegistration("a client that may introspect needs an audience")


def _required(connection: Connection, name: str) -> Client:
    # Not every text can be looked for.
    client = store.select_client(connection, name=name) if is_client_name(name) else None
    if client is None:
        raise NotFound
    return client


def _replace(connection: Connection, before: Client, after: Client, reason: str) -> Client:
    if not store.replace_credentials(connection, before, after):
        raise InvalidRegistration("another operator has changed the client at the same time; try again")
    security_event(SecurityEvent.CLIENT_CREDENTIAL_CHANGED, reason=reason, client=after.name, method=method_of(after))
    return after
