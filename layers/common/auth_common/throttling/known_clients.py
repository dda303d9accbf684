"""The client of a request: its IP, and whether an account is known to use it."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from auth_common.events import request_context
from auth_common.keys.keyed_hashes import account_pseudonym, throttle_key
from auth_common.throttling import limits
from auth_common.throttling.attempts import AttemptedAccount
from auth_common.throttling.store import KnownClients, select_known_clients

#: How long a client IP and a device are known for an account after a login: as long as a session may last.
CLIENT_KNOWN_FOR: Final = timedelta(days=30)
#: How many pairs of client IP and User-Agent of an account are read, the newest first.
_MAX_KNOWN_CLIENTS: Final = 200


def client_ip_hash() -> bytes:
    """Return the keyed hash of the request's client IP that a registration or password reset stores, 16 bytes."""
    return throttle_key("known_source", request_client_ip())


def find_known_clients(connection: Connection, email: str) -> KnownClients:
    """Return the account with a normalised address, and the clients that it is known to use."""
    since = datetime.now(UTC) - CLIENT_KNOWN_FOR
    return select_known_clients(connection, email=email, since=since, limit=_MAX_KNOWN_CLIENTS)


def is_known_client_ip(known: KnownClients) -> bool:
    """Return whether the account is known to use the request's client IP."""
    if request_client_ip() in {limits.normalise_client_ip(login_ip) for login_ip, _ in known.logins if login_ip}:
        return True
    # No secret: without the audit key, an attacker cannot choose the hash of a client IP.
    return known.registered_from is not None and known.registered_from == client_ip_hash()


def is_new_client(known: KnownClients) -> bool:
    """Return whether neither the client IP nor the device is known. A first login is from no new client.

    Call it before the session of the login is stored.
    """
    is_first_login = known.is_new and not known.logins
    # The User-Agent as it is, because a device's name is the same for many users. A client can send any.
    is_known_device = request_context.get().user_agent in {user_agent for _, user_agent in known.logins}
    return not (is_first_login or is_known_device or is_known_client_ip(known))


def account_of(email: str, user_id: UUID | None) -> AttemptedAccount:
    """Return the account for security events: its user, or the pseudonym of an address without an account."""
    return AttemptedAccount(user_id, None if user_id else account_pseudonym(email))


def request_client_ip() -> str:
    """Return the client IP of the request as limits count it."""
    return limits.normalise_client_ip(request_context.get().source_ip)
