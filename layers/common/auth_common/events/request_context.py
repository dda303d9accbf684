"""Who is asking: what every log line and security event of a request has in common.

A Lambda environment serves one event at a time, but the tests and the local runtime use threads: hence a context
variable and not a global.
"""

import re
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.errors import Misconfigured
from auth_common.events.logger import logger, redact
from auth_common.settings import settings

_LONGEST_USER_AGENT: Final = 256
_LONGEST_PATH: Final = 256
_LONGEST_IP: Final = 45
#: An IP, or an IP in brackets, then perhaps a port, which may be obfuscated (RFC 7239 section 6).
_NODE: Final = re.compile(r"(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<plain>[^:\[\]]+))(?::(?:\d{1,5}|_[\w.-]+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The gateway's view of a request.

    ``source_ip`` comes from the gateway's request context. ``X-Forwarded-For``, which the client writes, counts only as
    far as ``TRUSTED_PROXY_HOPS`` says that proxies of ours have written it.
    """

    request_id: str = ""
    function: str = ""
    method: str = ""
    path: str = ""
    source_ip: str = ""
    user_agent: str = ""
    #: Who ran the command, where it was no request.
    operator: str = ""


_NO_REQUEST: Final = RequestContext()
_current: ContextVar[RequestContext] = ContextVar("request_context", default=_NO_REQUEST)

get = _current.get
enter = _current.set
leave = _current.reset


def describe_request(event: dict[str, Any], context: LambdaContext) -> RequestContext:
    """Read the request context from what API Gateway vouches for; both of its event kinds, proxy and authorizer."""
    gateway = event.get("requestContext") or {}
    identity = gateway.get("identity") or {}
    user_agent = (identity.get("userAgent") or "")[:_LONGEST_USER_AGENT]
    return RequestContext(
        request_id=gateway.get("requestId") or context.aws_request_id,
        function=context.function_name,
        method=event.get("httpMethod") or "",
        # The route, such as /users/{id}: what somebody types into a path may be personal, or a token.
        path=redact((event.get("resource") or event.get("path") or "")[:_LONGEST_PATH]),
        source_ip=_forwarded_for(event) or _gateway_ip(identity.get("sourceIp") or ""),
        # Stored and shown: no control characters, and no more of it than anybody reads.
        user_agent=redact(user_agent if user_agent.isprintable() else "".join(filter(str.isprintable, user_agent))),
    )


def _forwarded_for(event: dict[str, Any]) -> str | None:
    """Return the client IP that the outermost trusted proxy has seen. Return None if there is none."""
    try:
        hops = settings().trusted_proxy_hops
    except Misconfigured:
        # The request will be refused for it; until then the gateway's word is good enough.
        hops = 0
    if not hops:
        return None
    values = event.get("multiValueHeaders") or {}
    lines = [line for name, lines in values.items() if name.lower() == "x-forwarded-for" for line in lines]
    # Also empty parts count as hops: to the left of our own proxies a client writes what it likes.
    nodes = ",".join(lines).split(",")
    if not lines or len(nodes) < hops:
        return None
    node = nodes[-hops]
    client_ip = None if "%" in node else canonical_ip(_without_port(node))
    if client_ip is None:
        _warn_of_proxies(hops)
    return client_ip


def canonical_ip(text: str) -> str | None:
    """Return the one spelling of an IP by which clients are stored, counted and found. Return None for other text.

    IPv6 is compressed and in lower case (RFC 5952), and without a zone. An IPv4 address that is mapped into IPv6 is
    IPv4, because it is the same client.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Address(int(address)))
    return str(address)


def _without_port(node: str) -> str:
    """Return the IP of a node identifier, which proxies write with ports, brackets and quotes (RFC 7239 section 6)."""
    node = node.strip()
    if len(node) > 1 and node[0] == node[-1] == '"':
        node = node[1:-1].strip()
    match = _NODE.fullmatch(node)
    return (match["bracketed"] or match["plain"]) if match else node


def _gateway_ip(text: str) -> str:
    """Return the canonical form of the gateway's IP. Its console sends a text that is no IP."""
    return canonical_ip(text) or text[:_LONGEST_IP]


@lru_cache(maxsize=1)
def _warn_of_proxies(hops: int) -> None:
    """Log once in an environment that the setting does not fit the proxies: all clients share the gateway's IP."""
    logger.warning("a trusted proxy has written no IP into X-Forwarded-For", extra={"trusted_proxy_hops": hops})
