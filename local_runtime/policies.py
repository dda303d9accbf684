"""Evaluate the IAM policies that Lambda authorizers return, as API Gateway does."""

import re
from collections.abc import Mapping
from typing import Any, Final

_INVOKE: Final = "execute-api:invoke"
_ELEMENTS: Final = frozenset({"Action", "Effect", "Resource"})


class MalformedPolicy(Exception):
    """The authorizer's policy cannot be evaluated, so the gateway rejects the request."""


def is_allowed(document: Any, method_arn: str) -> bool:
    """Return whether a policy allows a request: an Allow statement matches, and no Deny statement matches.

    Args:
        document: the ``policyDocument`` in the authorizer's result.
        method_arn: the ARN of the request's method and path.

    Raises:
        MalformedPolicy: the document is not a policy, or has an element that this function does not evaluate, such as
            ``Condition`` or ``NotAction``. To ignore such an element could allow a request that AWS denies.

    """
    if not isinstance(document, Mapping):
        raise MalformedPolicy("policyDocument is not an object")
    statements = [_validate(statement) for statement in _as_list(document.get("Statement"))]
    return {statement["Effect"] for statement in statements if _applies(statement, method_arn)} == {"Allow"}


def _validate(statement: Any) -> Mapping[str, Any]:
    if not isinstance(statement, Mapping) or not statement.keys() >= _ELEMENTS:
        raise MalformedPolicy("a statement must have Action, Effect and Resource")
    if unknown := statement.keys() - _ELEMENTS - {"Sid"}:
        message = f"{', '.join(sorted(unknown))} is not evaluated"
        raise MalformedPolicy(message)
    if statement["Effect"] not in ["Allow", "Deny"]:  # a list, because Effect may be unhashable
        raise MalformedPolicy("Effect must be Allow or Deny")
    if not all(isinstance(text, str) for name in ("Action", "Resource") for text in _as_list(statement[name])):
        raise MalformedPolicy("Action and Resource must be strings")
    return statement


def _applies(statement: Mapping[str, Any], method_arn: str) -> bool:
    # IAM ignores case in actions, but not in resources.
    return any(matches(action.lower(), _INVOKE) for action in _as_list(statement["Action"])) and any(
        matches(resource, method_arn) for resource in _as_list(statement["Resource"])
    )


def matches(pattern: str, text: str) -> bool:
    """Return whether ``text`` matches an IAM pattern: ``*`` is any text, also with slashes, ``?`` is one character."""
    expression = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
