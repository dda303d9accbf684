"""Match events with the patterns of EventBridge rules (User Guide, "Comparison operators"), as far as we use them."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any


def matches(pattern: Mapping[str, Any], event: Any) -> bool:
    """Return whether a rule with this pattern matches the event.

    Raises:
        KeyError: the pattern has an operator that this module does not know.

    """
    # A pattern for objects matches a list if it matches one of its objects.
    if isinstance(event, list):
        return any(matches(pattern, item) for item in event)
    if not isinstance(event, dict):
        return False
    return all(_matches_field(name, expected, event) for name, expected in pattern.items())


def _matches_field(name: str, expected: Any, event: Mapping[str, Any]) -> bool:
    if name == "$or":
        return any(matches(alternative, event) for alternative in expected)
    if isinstance(expected, dict):
        return matches(expected, event.get(name))
    # A missing field matches no value, also not what is anything but a value.
    return name in event and any(_matches_value(wanted, event[name]) for wanted in expected)


def _matches_value(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, dict):
        return bool(wanted == value)
    ((operator, operand),) = wanted.items()
    return {"prefix": _has_prefix, "wildcard": _is_like, "anything-but": _differs}[operator](operand, value)


def _has_prefix(prefix: str, value: Any) -> bool:
    return isinstance(value, str) and value.startswith(prefix)


def _is_like(wildcard: str, value: Any) -> bool:
    assert not set("?[") & set(wildcard)
    return isinstance(value, str) and fnmatchcase(value, wildcard)


def _differs(operand: Any, value: Any) -> bool:
    return not any(_matches_value(wanted, value) for wanted in (operand if isinstance(operand, list) else [operand]))
