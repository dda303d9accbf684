"""The declaration of an endpoint, in the decorator of its route: who may call it, and which errors it returns.

``make docs`` derives docs/openapi.json, the tables in README and docs/api.md, and ``web.protected_routes`` from the
declarations. No function reads them, so a cold start generates nothing.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from auth_common.errors import ServiceError

#: In an operation of FastAPI's OpenAPI document: the names of the declared error classes.
DECLARED_ERRORS: Final = "x-errors"
#: The names of the security schemes in the OpenAPI document.
ACCESS_TOKEN: Final = "accessToken"
CLIENT_SECRET: Final = "clientSecret"


#: Who may call an endpoint, as security requirements of OpenAPI. template.yaml says the same to API Gateway.
Access: TypeAlias = list[dict[str, list[str]]]
#: Any client on the internet.
ANYONE: Final[Access] = []
#: A client with a valid access token. The authorizer runs before the function.
BEARER: Final[Access] = [{ACCESS_TOKEN: []}]
#: Any client. The function itself verifies an access token that the client may send (``web.optional_caller``).
ANYONE_OR_BEARER: Final[Access] = [{}, *BEARER]
#: A registered client, which the function itself authenticates. Its credentials may be in the body instead.
CLIENT: Final[Access] = [{CLIENT_SECRET: []}, {}]


def endpoint(*, access: Access, errors: tuple[type[ServiceError], ...] = ()) -> dict[str, Any]:
    """Return the declaration as keyword arguments of a route's decorator.

    Args:
        access: ``ANYONE``, ``BEARER``, ``ANYONE_OR_BEARER`` or ``CLIENT``.
        errors: the errors of this endpoint. An invalid access token, body or parameter and a failure of the service
            need no declaration.

    """
    return {"openapi_extra": {"security": access, DECLARED_ERRORS: [error.__name__ for error in errors]}}


def header(*, value: str | None = None, pattern: str | None = None, example: str | None = None) -> dict[str, Any]:
    """Return an OpenAPI Header Object for a field with one value, or with values that match a pattern."""
    schema = {"type": "string"} | ({"const": value} if pattern is None else {"pattern": f"^{pattern}$"})
    return {"required": True, "schema": schema, "example": example or value}


def success(status: int, headers: Mapping[str, Mapping[str, Any]]) -> dict[int | str, dict[str, Any]]:
    """Return the argument ``responses`` of a route whose success has header fields of its own."""
    return {status: {"headers": dict(headers)}}
