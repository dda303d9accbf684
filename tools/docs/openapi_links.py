"""Links of docs/openapi.json: where what an answer holds is the input of the next request (OpenAPI 3.1, Link Object).

A reader sees what to do with an id, a token or a cursor; the fuzzer (tests/fuzz) follows them.
"""

from collections.abc import Mapping
from typing import Any, Final


def _to(operation: str, *, body: Mapping[str, str] | None = None, **parameters: str) -> dict[str, Any]:
    link: dict[str, Any] = {"operationId": operation}
    if parameters:
        link["parameters"] = parameters
    if body:
        link["requestBody"] = dict(body)
    return link


_REFRESH: Final = _to("refresh_tokens", body={"refresh_token": "$response.body#/refresh_token"})

#: By operation: status, and its links by name.
LINKS: Final[Mapping[str, tuple[str, Mapping[str, dict[str, Any]]]]] = {
    "register": (
        "201",
        {
            "log_in": _to("login", body={"email": "$request.body#/email", "password": "$request.body#/password"}),
            "user": _to("get_user", id="$response.body#/id"),
        },
    ),
    "login": (
        "200",
        {
            "refresh": _REFRESH,
            "second_factor": _to("begin_login", body={"mfa_token": "$response.body#/mfa_token"}),
        },
    ),
    "refresh_tokens": ("200", {"refresh": _REFRESH}),
    "begin_login": ("200", {"complete": _to("complete_login", body={"challenge_id": "$response.body#/challenge_id"})}),
    "complete_login": ("200", {"refresh": _REFRESH}),
    "begin_registration": (
        "200",
        {"complete": _to("complete_registration", body={"challenge_id": "$response.body#/challenge_id"})},
    ),
    "complete_registration": (
        "201",
        {
            "rename": _to("rename_passkey", id="$response.body#/id"),
            "delete": _to("delete_passkey", id="$response.body#/id"),
        },
    ),
    "list_passkeys": (
        "200",
        {
            "rename": _to("rename_passkey", id="$response.body#/items/0/id"),
            "delete": _to("delete_passkey", id="$response.body#/items/0/id"),
        },
    ),
    "get_sessions": (
        "200",
        {
            "next_page": _to("get_sessions", cursor="$response.body#/next_cursor"),
            "end": _to("delete_session", id="$response.body#/items/0/id"),
        },
    ),
    "get_events": ("200", {"next_page": _to("get_events", cursor="$response.body#/next_cursor")}),
}
