"""The ``Host`` header: accept only names of this machine, as a defence against DNS rebinding.

An attacker's page can change its domain name to resolve to 127.0.0.1. Its requests then reach the service, and the
browser lets the page read the responses. These requests differ from a developer's only in their ``Host``.
"""

import re
import socket
from collections.abc import Collection, Iterable
from ipaddress import AddressValueError, IPv6Address
from typing import Final

#: ``uri-host [ ":" port ]`` (RFC 9110 section 7.2). A user, a zone or an empty port, as in other URLs, does not match.
_HOST: Final = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z._-]+))(?::(?P<port>[0-9]{1,5}))?")
_MAX_PORT: Final = 65535
_LOOPBACK_NETWORK: Final = 127


def is_own_host(headers: Iterable[str], *, names: Collection[str] = ()) -> bool:
    """Return whether a request's ``Host`` is a name of this machine.

    Every port is accepted, because a tunnel such as ``ssh -L`` has a port of its own.

    Args:
        headers: the values of all ``Host`` headers of the request. RFC 9112 section 3.2 requires exactly one.
        names: further host names to accept, in lower case.

    """
    values = tuple(headers)
    found = _HOST.fullmatch(values[0]) if len(values) == 1 else None
    if found is None or int(found["port"] or 0) > _MAX_PORT:
        return False
    if found["ipv6"]:
        return _is_ipv6_loopback(found["ipv6"])
    name = found["name"].lower().removesuffix(".")
    # All names below localhost are this machine, also in the DNS (RFC 6761 section 6.3).
    return name in names or name == "localhost" or name.endswith(".localhost") or _is_ipv4_loopback(name)


def host_names(origins: str) -> frozenset[str]:
    """Return the host names, in lower case, of a list of origins that is separated by commas."""
    return frozenset(origin.partition("://")[2].partition(":")[0].strip().lower() for origin in origins.split(",")) - {
        ""
    }


def _is_ipv4_loopback(name: str) -> bool:
    try:
        # Also accepts short forms such as 127.1, which some clients send unchanged. They are never names in the DNS.
        return socket.inet_aton(name)[0] == _LOOPBACK_NETWORK
    except OSError:
        return False


def _is_ipv6_loopback(text: str) -> bool:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return False
    return (address.ipv4_mapped or address).is_loopback
