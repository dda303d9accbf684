"""``make docs``: the tables of endpoints in README and docs/api.md, from the OpenAPI document."""

import re
from collections.abc import Iterator
from typing import Any, Final

from auth_common import errors
from auth_common.web.endpoint import BEARER, CLIENT
from tools.docs.marked_parts import table, with_part
from tools.docs.openapi_document import SHARED_ERRORS, document

_PART: Final = "endpoints"
#: A document that a deployer can add by a setting.
_DOCUMENT: Final = re.compile(r"`GET`, `HEAD /\.well-known/(?P<name>.+)`")
_SHARED: Final = {error.code for error in (*SHARED_ERRORS, errors.InvalidToken)}


def with_short_table(page: str) -> str:
    """Return README's text with request, access and purpose of each endpoint, and one row for all documents.

    Neighbours with the same purpose share a row.
    """
    rows: list[tuple[str, str, str]] = []
    documents = []
    for request, access, operation in _operations(document()):
        described = access.removeprefix("access "), _sentences(operation)[0].removesuffix(".")
        found = _DOCUMENT.fullmatch(request)
        if found and "404" in operation["responses"]:
            documents.append(f"`{found['name']}`")
        elif found and rows[-1][1:] == described:
            rows[-1] = (f"{rows[-1][0]}, `/.well-known/{found['name']}`", *described)
        else:
            rows.append((request, *described))
    rows.append(("`GET`, `HEAD /.well-known/…`", "anyone", f"Return, if configured, {', '.join(documents)}"))
    return with_part(page, _PART, table(("Request", "Access", "Purpose"), rows))


def with_full_table(page: str) -> str:
    """Return the page's text with the responses of each endpoint too."""
    rows = (
        (request, access, " ".join(_sentences(operation)), _successes(operation), ", ".join(_errors(operation)))
        for request, access, operation in _operations(document())
    )
    return with_part(page, _PART, table(("Request", "Access", "Purpose", "Success", "Errors"), rows))


def _operations(api: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in api["paths"].items():
        # HEAD has no row of its own, because it is GET without a body.
        for method, operation in item.items():
            if method != "head":
                methods = "`GET`, `HEAD" if method == "get" and "head" in item else f"`{method.upper()}"
                security = operation["security"]
                access = "access token" if security == BEARER else "client" if security == CLIENT else "anyone"
                yield f"{methods} {path}`", access, operation


def _sentences(operation: dict[str, Any]) -> list[str]:
    """Return the sentences of the first paragraph of an operation's description."""
    paragraph = " ".join(operation["description"].split("\n\n")[0].split())
    return [f"{sentence.removesuffix('.')}." for sentence in paragraph.split(". ")]


def _successes(operation: dict[str, Any]) -> str:
    return " or ".join(status for status in operation["responses"] if status < "400")


def _errors(operation: dict[str, Any]) -> Iterator[str]:
    """Yield the errors of an operation, without the errors that all operations share."""
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            for code in content["schema"].get("properties", {}).get("code", {}).get("enum", []):
                if code not in _SHARED:
                    yield f"{status} `{code}`"
