"""``make docs``: the README's table of endpoints, from the OpenAPI document."""

import re
from collections.abc import Iterator
from typing import Any, Final

from auth_common import errors
from auth_common.web.endpoint import BEARER
from tools.docs.openapi_document import SHARED_ERRORS, document

_BEGIN: Final = "<!-- the endpoints, written by `make docs` -->"
_END: Final = "<!-- the end of the endpoints -->"
_SHARED: Final = {error.code for error in (*SHARED_ERRORS, errors.InvalidToken)}


def with_table(text: str) -> str:
    """Return the README's text with the current table between its marks."""
    between = re.compile(f"(?<={re.escape(_BEGIN)}\n).*(?={re.escape(_END)})", re.DOTALL)
    rows = "\n".join(_rows(document()))
    table = f"| Request | Access | Purpose | Success | Errors |\n|---|---|---|---|---|\n{rows}"
    return between.sub(lambda _: f"\n{table}\n\n", text)


def _rows(api: dict[str, Any]) -> Iterator[str]:
    for path, item in api["paths"].items():
        # HEAD has no row of its own, because it is GET without a body.
        for method, operation in item.items():
            if method != "head":
                methods = "`GET`, `HEAD" if method == "get" and "head" in item else f"`{method.upper()}"
                access = "access token" if operation["security"] == BEARER else "anyone"
                purpose = " ".join(operation["description"].split("\n\n")[0].split())
                successes = " or ".join(status for status in operation["responses"] if status < "300")
                yield f"| {methods} {path}` | {access} | {purpose} | {successes} | {', '.join(_errors(operation))} |"


def _errors(operation: dict[str, Any]) -> Iterator[str]:
    """Yield the errors of an operation, without the errors that all operations share."""
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            for code in content["schema"].get("properties", {}).get("code", {}).get("enum", []):
                if code not in _SHARED:
                    yield f"{status} `{code}`"
