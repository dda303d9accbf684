"""``make docs``: name, default and values of each setting in docs/configuration.md. Its meaning is written by hand."""

from dataclasses import Field, fields
from typing import Any, Final

from auth_common.settings import Settings
from tools.docs.marked_parts import with_columns

_HEADING: Final = ("Variable", "Default", "Values", "Meaning")


def with_settings(page: str) -> str:
    """Return the page with a row for each setting."""
    rows = ((f"`{field.name.upper()}`", _default(field), _values(field)) for field in fields(Settings))
    return with_columns(page, "settings", _HEADING, rows)


def _default(field: Field[Any]) -> str:
    value = field.default
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    return "" if value in (None, ()) else f"`{text.lower() if isinstance(value, bool) else text}`"


def _values(field: Field[Any]) -> str:
    choices = ("true", "false") if field.type is bool else field.metadata.get("choices", ())
    return str(field.metadata.get("bounds", "")) or ", ".join(f"`{choice}`" for choice in choices)
