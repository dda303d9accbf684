"""Strict JSON (RFC 8259, with the advice of its sections 4 and 8).

The standard parser takes NaN, repeated names and lone surrogates. Two parsers that read one document differently are a
way around a check (ASVS 5.0 1.5.3), and a lone surrogate cannot be written to a database: each is refused here.
"""

import json
from typing import Any, NoReturn


def parse_strict_json(octets: bytes) -> Any:
    """Return the parsed document.

    Raises:
        json.JSONDecodeError: not JSON.
        ValueError: not UTF-8, or JSON that is not strict.
        RecursionError: nested too deep.

    """
    value = json.loads(octets.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    # A lone surrogate, written as an escape, is the one thing that cannot be encoded again.
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("repeated name")
    return members


def _refuse(_constant: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")
