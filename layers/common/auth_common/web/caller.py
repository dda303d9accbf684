"""The caller, their step-up token and the id of a path, which endpoints declare by a type annotation."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Path, Request, Response

from auth_common.errors import InvalidToken
from auth_common.sessions.principal import Principal


async def _principal(request: Request) -> Principal:
    """Return the caller that the authorizer vouched for.

    The context reaches us through API Gateway, which lets no client write it. Where it is missing or odd (a route
    deployed without its authorizer), no authorizer has checked the caller: the request is rejected.

    Raises:
        InvalidToken: no authorizer has let this request pass.

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


#: The ``{id}`` of a path, as it came: whether it names anything is the service's question.
PathId = Annotated[str, Path(alias="id", json_schema_extra={"format": "uuid"})]
Caller = Annotated[Principal, Depends(_principal)]
#: The step-up token, which a sensitive route needs beside the access token.
StepUpToken = Annotated[
    str | None,
    Header(alias="Step-Up-Token", description="The `step_up_token` of a login or of POST /step-up, for 10 minutes."),
]


def clear_storage(response: Response) -> None:
    """Have the browser delete what pages of this origin have stored: their session is revoked (ASVS 5.0 14.3.1).

    Not "cache", since no response is in it. Not "cookies", since there are none, and those of every other port of
    localhost would be deleted.
    """
    response.headers["Clear-Site-Data"] = '"storage"'
