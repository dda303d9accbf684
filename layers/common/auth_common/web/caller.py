"""Parameters that endpoints declare by a type annotation: the caller, their step-up token and the id of a path."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Header, Path, Request, Response

from auth_common.errors import InvalidToken
from auth_common.sessions.principal import Principal
from auth_common.web.endpoint import header


async def _principal(request: Request) -> Principal:
    """Return the caller, as the authorizer's context names them.

    The context arrives through API Gateway, and no client can write it. Without a valid context no authorizer has
    checked the caller, for example because a route was deployed without one. The request is then rejected.

    Raises:
        InvalidToken: the request has no valid context of an authorizer.

    """
    event: dict[str, Any] = request.scope.get("aws.event", {})
    context = (event.get("requestContext") or {}).get("authorizer") or {}
    try:
        return Principal(
            user_id=UUID(context["user_id"]),
            session_id=UUID(context["session_id"]),
            token_version=int(context["token_version"]),
            expires_at=int(context["expires_at"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InvalidToken from error


#: The ``{id}`` of a path, as the client sent it. The service decides whether it is a valid id.
PathId = Annotated[str, Path(alias="id", json_schema_extra={"format": "uuid"})]
Caller = Annotated[Principal, Depends(_principal)]
#: The step-up token, which a sensitive route needs beside the access token.
StepUpToken = Annotated[
    str | None,
    Header(alias="Step-Up-Token", description="The `step_up_token` of a login or of POST /step-up, for 10 minutes."),
]
#: Not "cache", because no response is cached. Not "cookies", because the service sets none, and the browser would
#: delete the cookies of every other port of localhost.
_CLEARED: Final = '"storage"'
CLEAR_SITE_DATA: Final = header(value=_CLEARED)


def clear_storage(response: Response) -> None:
    """Have the browser delete what pages of this origin have stored: their session is revoked (ASVS 5.0 14.3.1)."""
    response.headers["Clear-Site-Data"] = _CLEARED
