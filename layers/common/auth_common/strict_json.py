"""Strict JSON: what the standard parser lets pass and nobody honest writes."""

from typing import Any


def unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of ``pairs``: the ``object_pairs_hook`` of ``json.loads``.

    Of a repeated name most parsers take the last value and some the first. Where two of them read one document, each
    sees another one (RFC 8259 section 4, RFC 7515 section 4).

    Raises:
        ValueError: a name is repeated.

    """
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("repeated name")
    return members
