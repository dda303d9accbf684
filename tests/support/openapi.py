"""Compare responses with docs/openapi.json."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema_rs import Draft202012Validator

from auth_common.web.headers import SECURITY_HEADERS

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
#: Headers of every response, which the document does not repeat. tests/support/functions.py checks their values.
COMMON_HEADERS = {name.lower() for name in SECURITY_HEADERS} | {
    *("content-length", "content-type", "x-request-id", "vary"),
    *("access-control-allow-origin", "access-control-expose-headers"),
}


def is_documented(*, method: str, resource: str) -> bool:
    return method.lower() in _document()["paths"].get(resource, {})


def check_response(*, method: str, resource: str, status: int, headers: Mapping[str, str], text: str) -> None:
    """Fail unless operation, status, headers, media type and body of a response are as documented."""
    what = f"{method} {resource} {status}"
    assert is_documented(method=method, resource=resource), f"docs/openapi.json lacks {method} {resource}"
    documented = _document()["paths"][resource][method.lower()]["responses"].get(str(status))
    assert documented, f"docs/openapi.json lacks this status: {what}: {text[:200]}"
    header_faults = _header_faults(documented.get("headers", {}), headers)
    assert header_faults == [], f"{what}: {header_faults}"
    media_type = headers.get("content-type", "").partition(";")[0]
    if not documented.get("content"):
        assert text == "", f"docs/openapi.json has no body: {what}"
        return
    assert media_type in documented["content"], f"docs/openapi.json lacks {media_type}: {what}"
    body = text if media_type == "text/plain" else json.loads(text)
    faults = list(_validator(resource, method.lower(), str(status), media_type).iter_errors(body))
    assert faults == [], f"{what}: {[(fault.instance_path, fault.message) for fault in faults]}"


def _header_faults(documented: Mapping[str, Any], headers: Mapping[str, str]) -> list[str]:
    known = {name.lower(): header for name, header in documented.items()}
    missing = [name for name, header in known.items() if header["required"] and name not in headers]
    unknown = [name for name in headers if name not in known and name not in COMMON_HEADERS]
    wrong = [
        f"{name}: {headers[name]}"
        for name, header in known.items()
        if name in headers and not Draft202012Validator(header["schema"]).is_valid(headers[name])
    ]
    may_be_cached = "cache-control" not in known and headers.get("cache-control") != "no-store"
    return [*missing, *unknown, *wrong, *(["cache-control"] if may_be_cached else [])]


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(DOCUMENT.read_text())
    return document


@cache
def _validator(resource: str, method: str, status: str, media_type: str) -> Draft202012Validator:
    content = _document()["paths"][resource][method]["responses"][status]["content"]
    return Draft202012Validator({**content[media_type]["schema"], "components": _document()["components"]})
