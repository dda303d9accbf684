"""Evaluate IAM policies as IAM does ("Policy evaluation logic"), as far as ours need it."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from tests.support.deployment import as_list


def allows(policy: Mapping[str, Any], action: str, resource: str = "*", **context: Any) -> bool:
    """Return whether a policy allows a call.

    Args:
        policy: The policy document.
        action: The call, such as ``kms:Sign``.
        resource: The ARN of what the call uses.
        context: The values of condition keys. In a name, write ``__`` for the colon, such as ``aws__CalledVia``.

    Raises:
        KeyError: A condition has an operator that this module does not know.

    """
    keys = {name.replace("__", ":"): value for name, value in context.items()}
    effects = {each["Effect"] for each in policy["Statement"] if _applies(each, action, resource, keys)}
    return effects == {"Allow"}


def _applies(statement: Mapping[str, Any], action: str, resource: str, keys: Mapping[str, Any]) -> bool:
    return (
        _is_like(action, statement["Action"])
        and (_is_like(resource, statement["Resource"]) if "Resource" in statement else True)
        and not ("NotResource" in statement and _is_like(resource, statement["NotResource"]))
        and all(
            _OPERATORS[operator](keys.get(key), as_list(wanted))
            for operator, wanted_by_key in statement.get("Condition", {}).items()
            for key, wanted in wanted_by_key.items()
        )
    )


def _is_like(value: str, patterns: Any) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in as_list(patterns))


#: Whether the value of a condition key, which is None if the request has no such key, fulfils a condition.
_OPERATORS = {
    "StringEquals": lambda value, wanted: value in wanted,
    "StringNotEquals": lambda value, wanted: value not in wanted,
    "BoolIfExists": lambda value, wanted: value is None or value in wanted,
    "ForAnyValue:StringEquals": lambda value, wanted: any(each in wanted for each in as_list(value or [])),
    "ForAnyValue:StringLike": lambda value, wanted: any(_is_like(each, wanted) for each in as_list(value or [])),
}
