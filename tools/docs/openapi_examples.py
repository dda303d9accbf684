"""Examples of docs/openapi.json, assembled from the examples of the schemas' fields. Their tokens open nothing."""

from collections.abc import Iterator
from typing import Any, Final

from auth_common.web.oauth import FORM_MEDIA_TYPE

_REFERENCE: Final = "#/components/schemas/"
#: For fields that have no example of their own.
_BY_FORMAT: Final = {
    "date": "1980-04-14",
    "date-time": "2026-01-31T09:30:00Z",
    "uuid": "3f0e6a52-8f0b-4f5b-9a53-6c1f0d1f2a7e",
}
#: RFC 9116.
_SECURITY_TXT: Final = "Contact: mailto:security@example.com\nExpires: 2027-01-31T00:00:00Z\n"


def add_examples(document: dict[str, Any]) -> None:
    """Add to each request body and each success an example of each of its schemas."""
    schemas = document["components"]["schemas"]
    for operation in (operation for item in document["paths"].values() for operation in item.values()):
        for body in (operation.get("requestBody", {}), *operation["responses"].values()):
            for media_type, content in body.get("content", {}).items():
                if media_type == "text/plain":
                    # FastAPI describes a text as a string. The only one is security.txt.
                    content["examples"] = {"example": {"value": _SECURITY_TXT}}
                if "examples" not in content:
                    content["examples"] = {
                        name: {"value": _without_null(value) if media_type == FORM_MEDIA_TYPE else value}
                        for name, value in _examples(content["schema"], schemas)
                    }


def _without_null(example: dict[str, Any]) -> dict[str, Any]:
    """Return the example of a form, which cannot contain null."""
    return {name: value for name, value in example.items() if value is not None}


def _examples(schema: dict[str, Any], schemas: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield a name and a value for each alternative, and for each example that a schema has as a whole."""
    if "anyOf" in schema:
        for alternative in schema["anyOf"]:
            yield from _examples(alternative, schemas)
        return
    name = schema.get("$ref", "example").removeprefix(_REFERENCE)
    resolved = schemas[name] if "$ref" in schema else schema
    whole = resolved.get("examples")
    if whole and len(whole) > 1:
        yield from ((f"{name}_{number}", value) for number, value in enumerate(whole, 1))
    else:
        yield name, _example(schema, schemas)


def _example(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """Return an example of a schema.

    Raises:
        LookupError: neither the schema nor its format has an example. Add ``Field(examples=[…])`` to the field.

    """
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].removeprefix(_REFERENCE)], schemas)
    given = [schema[keyword] for keyword in ("const", "default") if keyword in schema]
    given += [*schema.get("examples", []), *schema.get("enum", []), *([None] if schema.get("type") == "null" else [])]
    if given:
        return given[0]
    match schema:
        case {"anyOf": [first, *_]}:
            return _example(first, schemas)
        case {"type": "object"}:
            return {name: _example(field, schemas) for name, field in schema.get("properties", {}).items()}
        case {"type": "array"}:
            return [_example(schema["items"], schemas)]
        case {"format": str(format_)} if format_ in _BY_FORMAT:
            return _BY_FORMAT[format_]
    message = f"no example: {schema}"
    raise LookupError(message)
