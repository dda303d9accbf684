"""Strict JSON (RFC 8259, with the advice of its sections 4 and 8).

Python's parser also accepts NaN, numbers larger than any float, repeated names and lone surrogates. This one rejects
them. An attacker can bypass a check if two parsers read one document differently (ASVS 5.0 1.5.3). Infinity cannot be
written as JSON, and a lone surrogate cannot be stored in a database.
"""

import json
import math
from typing import Any, Final, NoReturn


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


def _reject_constant(_constant: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_decoder: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_reject_constant)


def parse_strict_json(octets: bytes) -> Any:
    """Return the parsed document.

    Raises:
        json.JSONDecodeError: The bytes are not JSON.
        ValueError: The bytes are not UTF-8, or the JSON is not strict.
        RecursionError: The document is nested too deeply.

    """
    value = _decoder.decode(octets.decode())
    if b"\\u" in octets:
        # Encoding the value again fails only for a lone surrogate, which the document can contain as an escape.
        json.dumps(value, ensure_ascii=False).encode()
    return value
