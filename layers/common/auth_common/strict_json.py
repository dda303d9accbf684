"""Strict JSON (RFC 8259, with the advice of its sections 4 and 8).

The standard parser takes NaN, numbers beyond every float, repeated names and lone surrogates. Two parsers that read one
document differently are a way around a check (ASVS 5.0 1.5.3), infinity cannot be written as JSON again, and a lone
surrogate not to a database: each is refused here.
"""

import json
import math
from typing import Any, NoReturn


def parse_strict_json(octets: bytes) -> Any:
    """Return the parsed document.

    Raises:
        json.JSONDecodeError: not JSON.
        ValueError: not UTF-8, or JSON that is not strict.
        RecursionError: nested too deep.

    """
    value = json.loads(octets.decode(), object_pairs_hook=_unique, parse_float=_finite, parse_constant=_refuse)
    # A lone surrogate, written as an escape, is the one thing that cannot be encoded again.
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("repeated name")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("larger than any float")
    return number


def _refuse(_constant: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")
