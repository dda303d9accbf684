"""Who is asking: what every log line and security event of a request has in common.

A Lambda environment serves one event at a time, but the tests and the local runtime use threads: hence a context
variable and not a global.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.errors import Misconfigured
from auth_common.monitoring.logger import redact
from auth_common.settings import settings

_LONGEST_USER_AGENT: Final = 256
_LONGEST_PATH: Final = 256


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
        source_ip=_forwarded_for(event) or identity.get("sourceIp") or "",
        # Stored and shown: no control characters, and no more of it than anybody reads.
        user_agent=redact(user_agent if user_agent.isprintable() else "".join(filter(str.isprintable, user_agent))),
    )


def _forwarded_for(event: dict[str, Any]) -> str | None:
    """Return the address that the outermost trusted proxy has seen; ``None``: there is none, or it is no address."""
    try:
        hops = settings().trusted_proxy_hops
    except Misconfigured:
        # The request will be refused for it; until then the gateway's word is good enough.
        hops = 0
    if not hops:
        return None
    values = event.get("multiValueHeaders") or {}
    lines = [line for name, lines in values.items() if name.lower() == "x-forwarded-for" for line in lines]
    addresses = ",".join(lines).split(",")
    if len(addresses) < hops:
        return None
    try:
        address = ip_address(addresses[-hops].strip())
    except ValueError:
        return None
    # A zone ("fe80::1%eth0") is free text.
    return None if getattr(address, "scope_id", None) else str(address)
