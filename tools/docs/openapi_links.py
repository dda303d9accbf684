"""Links of docs/openapi.json: a value of a response is the input of a further request (OpenAPI 3.1, Link Object).

They follow from the names of fields. A reader sees what to do with a token or an id. The fuzzer (tests/fuzz) follows
them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from os.path import commonpath
from typing import Any, Final

_REFERENCE: Final = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class _Operation:
    path: str
    document: dict[str, Any]
    #: The fields of the request body.
    sent: frozenset[str]
    required: frozenset[str]
    #: The fields of the body of each success, by status.
    returned: dict[str, frozenset[str]]

    @property
    def id(self) -> str:
        name: str = self.document["operationId"]
        return name


def add_links(document: dict[str, Any]) -> None:
    """Add the links to each success."""
    schemas = document["components"]["schemas"]
    operations = [
        _Operation(
            path=path,
            document=operation,
            sent=_names(operation.get("requestBody", {}), "properties", schemas),
            required=_names(operation.get("requestBody", {}), "required", schemas),
            returned={
                status: _names(response, "properties", schemas)
                for status, response in operation["responses"].items()
                if status.startswith("2")
            },
        )
        for path, item in document["paths"].items()
        for operation in item.values()
    ]
    for operation in operations:
        for status, fields in operation.returned.items():
            if links := dict(_links(operation, fields, operations)):
                operation.document["responses"][status]["links"] = links


def _links(
    operation: _Operation, fields: frozenset[str], operations: list[_Operation]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the Link Object of each link of a response with these fields."""
    for field in sorted(fields):
        if _is_made_by_the_service(field) and (takers := [each for each in operations if field in each.sent]):
            # For a challenge it is the same ceremony.
            taker = max(takers, key=lambda each: len(commonpath([operation.path, each.path])))
            yield taker.id, {"operationId": taker.id, "requestBody": {field: f"$response.body#/{field}"}}
    place = "id" if "id" in fields else "items/0/id"
    for other in operations:
        if fields & {"id", "items"} and other.path == f"{operation.path}/{{id}}":
            yield other.id, {"operationId": other.id, "parameters": {"id": f"$response.body#/{place}"}}
        # A login repeats the e-mail address and the password of a registration.
        repeats = (
            other is not operation
            and bool(other.required)
            and other.required < operation.sent
            and "{" not in other.path
        )
        if repeats and not any(map(_is_made_by_the_service, other.required)):
            body = {field: f"$request.body#/{field}" for field in sorted(other.required)}
            yield other.id, {"operationId": other.id, "requestBody": body}
    if "next_cursor" in fields and "parameters" in operation.document:
        yield "next_page", {"operationId": operation.id, "parameters": {"cursor": "$response.body#/next_cursor"}}


def _is_made_by_the_service(field: str) -> bool:
    """Return whether a client can have the value only from a response."""
    return field.endswith(("_id", "_token"))


def _names(body: dict[str, Any], keyword: str, schemas: dict[str, Any]) -> frozenset[str]:
    """Return the names of all or of the required fields of a JSON body, for all of its alternatives together."""
    return frozenset(
        name
        for media_type, content in body.get("content", {}).items()
        if media_type == "application/json"
        for schema in content["schema"].get("anyOf", [content["schema"]])
        if "$ref" in schema  # A text and a list have no fields.
        for name in schemas[schema["$ref"].removeprefix(_REFERENCE)].get(keyword, [])
    )
