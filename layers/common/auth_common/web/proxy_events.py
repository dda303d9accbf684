"""Proxy events of API Gateway, for functions without FastAPI."""

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
