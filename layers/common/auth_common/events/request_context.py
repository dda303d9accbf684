"""The request context: what all log lines and security events of one request have in common.

It is a context variable and no global, because the tests and the local runtime serve requests in threads.
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

_MAX_USER_AGENT_CHARACTERS: Final = 256
_MAX_PATH_CHARACTERS: Final = 256
_MAX_IP_CHARACTERS: Final = 45
#: An IP, with or without brackets, and an optional port, which may be obfuscated (RFC 7239 section 6).
_NODE: Final = re.compile(r"(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<plain>[^:\[\]]+))(?::(?:\d{1,5}|_[\w.-]+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The gateway's view of a request, or the operator's command that runs.

    ``source_ip`` is the client IP from the gateway's request context. The client may write ``X-Forwarded-For``, so only
    the part that trusted proxies have written is used: see ``TRUSTED_PROXY_HOPS``.
    """

    request_id: str = ""
    function: str = ""
    method: str = ""
    path: str = ""
    source_ip: str = ""
    user_agent: str = ""
    #: The operator who runs a command. Empty in a request.
    operator: str = ""


_NO_REQUEST: Final = RequestContext()
_current: ContextVar[RequestContext] = ContextVar("request_context", default=_NO_REQUEST)

get = _current.get
enter = _current.set
leave = _current.reset


def describe_request(event: dict[str, Any], context: LambdaContext) -> RequestContext:
    """Return the context of an API Gateway event, either a proxy event or an authorizer event."""
    gateway = event.get("requestContext") or {}
    identity = gateway.get("identity") or {}
    user_agent = (identity.get("userAgent") or "")[:_MAX_USER_AGENT_CHARACTERS]
    return RequestContext(
        request_id=gateway.get("requestId") or context.aws_request_id,
        function=context.function_name,
        method=event.get("httpMethod") or "",
        # The route, such as /users/{id}, because the path itself may contain personal data or a token.
        path=redact((event.get("resource") or event.get("path") or "")[:_MAX_PATH_CHARACTERS]),
        source_ip=_forwarded_for(event) or _gateway_ip(identity.get("sourceIp") or ""),
        # The User-Agent is stored and shown, so it is shortened and has no control characters.
        user_agent=redact(user_agent if user_agent.isprintable() else "".join(filter(str.isprintable, user_agent))),
    )


def _forwarded_for(event: dict[str, Any]) -> str | None:
    """Return the client IP that the outermost trusted proxy has seen. Return None if there is none."""
    try:
        hops = settings().trusted_proxy_hops
    except Misconfigured:
        # The request will fail because of this setting. Until then, its log lines have the gateway's IP.
        hops = 0
    if not hops:
        return None
    values = event.get("multiValueHeaders") or {}
    lines = [line for name, lines in values.items() if name.lower() == "x-forwarded-for" for line in lines]
    # Empty parts count as hops too, because the client controls everything to the left of the trusted proxies.
    nodes = ",".join(lines).split(",")
    if not lines or len(nodes) < hops:
        return None
    node = nodes[-hops]
    client_ip = None if "%" in node else canonical_ip(_without_port(node))
    if client_ip is None:
        _warn_of_proxies(hops)
    return client_ip


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


def _without_port(node: str) -> str:
    """Return the IP of a node identifier, which may have a port, brackets and quotes (RFC 7239 section 6)."""
    node = node.strip()
    if len(node) > 1 and node[0] == node[-1] == '"':
        node = node[1:-1].strip()
    match = _NODE.fullmatch(node)
    return (match["bracketed"] or match["plain"]) if match else node


def _gateway_ip(text: str) -> str:
    """Return the canonical form of the gateway's IP. The gateway's test console sends a text that is no IP."""
    return canonical_ip(text) or text[:_MAX_IP_CHARACTERS]


@lru_cache(maxsize=1)
def _warn_of_proxies(hops: int) -> None:
    """Warn once per environment that ``TRUSTED_PROXY_HOPS`` does not fit, so all clients share the gateway's IP."""
    logger.warning("a trusted proxy has written no IP into X-Forwarded-For", extra={"trusted_proxy_hops": hops})
