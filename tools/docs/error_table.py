"""``make docs``: the status and the code of each error in docs/errors.md. Its meaning is written by hand."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from auth_common.errors import ServiceError
from local_runtime.cloudformation import read_template
from tools.docs.marked_parts import with_columns

_TEMPLATE: Final = Path(__file__).parents[2] / "template.yaml"
_HEADING: Final = ("Status", "`code`", "Meaning", "What to do")


def with_codes(page: str) -> str:
    """Return the page with a row for each error of the service and of API Gateway."""
    found = {(error.status, error.code) for error in _kinds_of(ServiceError)} | set(_gateway_errors())
    rows = ((str(status), f"`{code}`") for status, code in sorted(found))
    return with_columns(page, "errors", _HEADING, rows, key_cells=2)


def _kinds_of(error: type[ServiceError]) -> Iterator[type[ServiceError]]:
    """Yield the errors of ``auth_common.errors``. Others, such as those of a test, are no part of the service."""
    if error.__module__ == ServiceError.__module__:
        yield error
    for kind in error.__subclasses__():
        yield from _kinds_of(kind)


def _gateway_errors() -> Iterator[tuple[int, str]]:
    for resource in read_template(_TEMPLATE)["Resources"].values():
        for response in resource.get("Properties", {}).get("GatewayResponses", {}).values():
            body = json.loads(response["ResponseTemplates"]["application/json"])
            yield body["status"], body["code"]
