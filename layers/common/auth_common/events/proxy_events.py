"""Header fields in the events of API Gateway, for code that runs before FastAPI or without it."""

from collections.abc import Mapping
from typing import Any


def header_values(event: Mapping[str, Any], name: str) -> list[str]:
    """Return the values of a header field, which API Gateway may spell in any case.

    Args:
        event: the proxy or authorizer event.
        name: the name of the field in small letters.

    """
    return [
        value
        for sent_name, values in (event.get("multiValueHeaders") or {}).items()
        if sent_name.lower() == name
        for value in values
    ]


def bearer_token(event: Mapping[str, Any]) -> str:
    """Return the token of the only Authorization header (RFC 6750 section 2.1).

    Return "", which is not a valid token, if the request has no such header, several, or one of another scheme.
    """
    values = header_values(event, "authorization")
    if len(values) != 1:
        return ""  # The gateway may have cached the policy under the other of two headers.
    scheme, _, token = values[0].partition(" ")
    return token if scheme.lower() == "bearer" else ""
