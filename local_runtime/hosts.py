"""The ``Host`` header: which names of this machine a request may use.

A page of another site can let its own domain name resolve to 127.0.0.1 (DNS rebinding). Its requests then reach the
service, and the browser takes the responses for the page's own. Only their ``Host`` tells them from a developer's.
"""

import re
import socket
from collections.abc import Collection, Iterable
from ipaddress import AddressValueError, IPv6Address
from typing import Final

#: ``uri-host [ ":" port ]`` of RFC 9110 section 7.2, without the user, the zone or the empty port of other URLs.
_HOST: Final = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z._-]+))(?::(?P<port>[0-9]{1,5}))?")
_HIGHEST_PORT: Final = 65535
_LOOPBACK_NETWORK: Final = 127


def is_own_host(headers: Iterable[str], *, names: Collection[str] = ()) -> bool:
    """Tell whether a request is for this machine.

    The port may be any, because a tunnel such as ``ssh -L`` has one of its own.

    Args:
        headers: the values of the request's ``Host`` headers, of which RFC 9112 section 3.2 allows exactly one.
        names: further host names, in lower case, that the developer has chosen.

    """
    values = tuple(headers)
    found = _HOST.fullmatch(values[0]) if len(values) == 1 else None
    if found is None or int(found["port"] or 0) > _HIGHEST_PORT:
        return False
    if found["ipv6"]:
        return _is_ipv6_loopback(found["ipv6"])
    name = found["name"].lower().removesuffix(".")
    # RFC 6761 section 6.3: all names below localhost are this machine, and no DNS has others.
    return name in names or name == "localhost" or name.endswith(".localhost") or _is_ipv4_loopback(name)


def host_names(origins: str) -> frozenset[str]:
    """Return the host names of a list of origins that is separated by commas."""
    return frozenset(origin.partition("://")[2].partition(":")[0].strip().lower() for origin in origins.split(",")) - {
        ""
    }


def _is_ipv4_loopback(name: str) -> bool:
    try:
        # Also forms such as 127.1, which some clients send as their user wrote them. No DNS has such a name.
        return socket.inet_aton(name)[0] == _LOOPBACK_NETWORK
    except OSError:
        return False


def _is_ipv6_loopback(text: str) -> bool:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return False
    return (address.ipv4_mapped or address).is_loopback
