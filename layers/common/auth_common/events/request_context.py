"""The request context: what all log lines and security events of one request have in common.

It is a context variable and no global, because the tests and the local runtime serve requests in threads.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from aws_lambda_powertools.utilities.typing import LambdaContext

from auth_common.events.client_ip import client_ip
from auth_common.events.logger import redact

_MAX_USER_AGENT_CHARACTERS: Final = 256
_MAX_PATH_CHARACTERS: Final = 256


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The gateway's view of a request, or the operator's command that runs.

    ``source_ip`` is the client IP: see ``events.client_ip``.
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
        source_ip=client_ip(event),
        # The User-Agent is stored and shown, so it is shortened and has no control characters.
        user_agent=redact(user_agent if user_agent.isprintable() else "".join(filter(str.isprintable, user_agent))),
    )
