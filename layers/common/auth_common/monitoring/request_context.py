"""Who is asking: what every log line and security event of a request has in common.

A Lambda environment serves one event at a time, but the tests and the local runtime use threads: hence a context
variable and not a global.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.monitoring.logger import redact

_LONGEST_USER_AGENT: Final = 256
_LONGEST_PATH: Final = 256


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The gateway's view of a request.

    ``source_ip`` comes from the gateway's request context and never from ``X-Forwarded-For``, which the client writes.
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
    user_agent = identity.get("userAgent") or ""
    return RequestContext(
        request_id=gateway.get("requestId") or context.aws_request_id,
        function=context.function_name,
        method=event.get("httpMethod") or "",
        # Somebody may put a token into it.
        path=redact((event.get("path") or "")[:_LONGEST_PATH]),
        source_ip=identity.get("sourceIp") or "",
        # Stored and shown: no control characters, and no more of it than anybody reads.
        user_agent=redact("".join(c for c in user_agent[:_LONGEST_USER_AGENT] if c.isprintable())),
    )
