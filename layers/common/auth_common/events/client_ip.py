"""The client IP of a request: the one that the gateway reports, or the one that a proxy with the lock reports.

A client can send any header field, and can call the gateway without the proxy. So the proxy proves itself with a secret
in ``X-Proxy-Lock``, the lock. Its ``X-Client-IP`` is believed only together with the lock, and ``X-Forwarded-For`` is
never read. See docs/decisions/0022.
"""

from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from auth_common.errors import Misconfigured
from auth_common.events import metrics
from auth_common.events.logger import logger
from auth_common.events.proxy_events import header_values
from auth_common.settings import settings

_MAX_IP_CHARACTERS: Final = 45
#: Counts the requests with a lock whose ``X-Client-IP`` is not believed.
PROXY_REJECTED_METRIC: Final = "proxy_rejected"


def client_ip(event: Mapping[str, Any]) -> str:
    """Return the client IP of a proxy or authorizer event, in its canonical form.

    Return a text of at most 45 characters if the gateway reports something else than an IP, as its test console does.
    """
    identity = (event.get("requestContext") or {}).get("identity") or {}
    gateway_ip = identity.get("sourceIp") or ""
    return _forwarded_ip(event) or canonical_ip(gateway_ip) or gateway_ip[:_MAX_IP_CHARACTERS]


def canonical_ip(text: str) -> str | None:
    """Return the spelling of an IP by which clients are stored, counted and found. Return None for other text.

    IPv6 is compressed and in lower case (RFC 5952), without a zone. An IPv4-mapped IPv6 address becomes IPv4, because
    it is the same client.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Address(int(address)))
    return str(address)


def lock_hash(lock: str) -> str:
    """Return the hash of a lock. The functions' configuration contains the hash, which does not reveal the lock."""
    # An event may contain lone surrogates, which UTF-8 cannot encode.
    return sha256(lock.encode(errors="surrogatepass")).hexdigest()


def _forwarded_ip(event: Mapping[str, Any]) -> str | None:
    """Return the client IP that a proxy with the lock reports. Return None if there is no such proxy."""
    try:
        accepted = settings().proxy_locks
    except Misconfigured:
        # The request will fail because of this setting. Until then, its log lines have the gateway's IP.
        return None
    locks = header_values(event, "x-proxy-lock")
    if not accepted or not locks:
        return None
    if not _is_accepted(locks, accepted):
        _report(event, "a proxy lock was not accepted, so the gateway's IP counts")
        return None
    values = header_values(event, "x-client-ip")
    # The firewall reads the same field and accepts a bare IP only (AWS WAF Developer Guide, "Forwarded IP addresses").
    forwarded = canonical_ip(values[0]) if len(values) == 1 and "%" not in values[0] else None
    if forwarded is None:
        _report(event, "a proxy with the lock has sent no IP in X-Client-IP, so the gateway's IP counts")
    return forwarded


def _is_accepted(locks: list[str], accepted: tuple[str, ...]) -> bool:
    """Compare the lock with each accepted hash, in constant time. A proxy sends exactly one lock."""
    digest = lock_hash(locks[0])
    matches = [compare_digest(digest, each) for each in accepted]
    return len(locks) == 1 and any(matches)


def _report(event: Mapping[str, Any], message: str) -> None:
    """Log and count a request with a lock whose client IP is not believed. Any client can cause it.

    A proxy with a wrong lock causes it with each request. The line has the gateway's IP, which tells the two apart.
    """
    gateway = event.get("requestContext") or {}
    identity = gateway.get("identity") or {}
    connecting_ip = (identity.get("sourceIp") or "")[:_MAX_IP_CHARACTERS]
    logger.warning(message, extra={"connecting_ip": connecting_ip, "request_id": gateway.get("requestId")})
    metrics.count(PROXY_REJECTED_METRIC)
