"""Every answer that a test gets from a function, held to docs/openapi.json."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"


def check_answer(*, method: str, resource: str, status: int, headers: Mapping[str, str], text: str) -> None:
    """Fail if an endpoint of the document answers what the document does not say."""
    operation = _document()["paths"].get(resource, {}).get(method.lower())
    if operation is None:
        return  # a test's own application, or a method that the gateway does not route
    documented = operation["responses"].get(str(status))
    assert documented, f"{method} {resource}: docs/openapi.json does not know the status {status}: {text[:200]}"
    media_type = headers.get("content-type", "").partition(";")[0]
    if not documented.get("content"):
        assert text == "", f"{method} {resource}: docs/openapi.json knows no body for {status}"
        return
    assert media_type in documented["content"], f"{method} {resource}: {media_type} for {status}"
    faults = list(_validator(resource, method.lower(), str(status), media_type).iter_errors(json.loads(text)))
    assert faults == [], f"{method} {resource} {status}: {[(fault.json_path, fault.message) for fault in faults]}"


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(DOCUMENT.read_text())
    return document


@cache
def _validator(resource: str, method: str, status: str, media_type: str) -> Draft202012Validator:
    content = _document()["paths"][resource][method]["responses"][status]["content"]
    return Draft202012Validator({**content[media_type]["schema"], "components": _document()["components"]})
