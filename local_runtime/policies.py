"""IAM policies of Lambda authorizers, evaluated as API Gateway does."""

import re
from collections.abc import Mapping
from typing import Any, Final

_INVOKE: Final = "execute-api:invoke"
_ELEMENTS: Final = frozenset({"Action", "Effect", "Resource"})


class MalformedPolicy(Exception):
    """The authorizer's policy cannot be evaluated; nobody gets through."""


def is_allowed(document: Any, method_arn: str) -> bool:
    """Tell whether a policy lets a request through: an Allow that matches, and no Deny that does.

    Args:
        document: the ``policyDocument``.
        method_arn: the request's.

    Raises:
        MalformedPolicy: it is not a policy, or has an element (``Condition``, ``NotAction``, ...) that is not evaluated
            here: ignoring one could let a request through.

    """
    if not isinstance(document, Mapping):
        raise MalformedPolicy("policyDocument is not an object")
    statements = [_check(statement) for statement in _as_list(document.get("Statement"))]
    return {statement["Effect"] for statement in statements if _applies(statement, method_arn)} == {"Allow"}


def _check(statement: Any) -> Mapping[str, Any]:
    if not isinstance(statement, Mapping) or not statement.keys() >= _ELEMENTS:
        raise MalformedPolicy("a statement needs Action, Effect and Resource")
    if unknown := statement.keys() - _ELEMENTS - {"Sid"}:
        message = f"{', '.join(sorted(unknown))} is not evaluated"
        raise MalformedPolicy(message)
    if statement["Effect"] not in ["Allow", "Deny"]:  # no set: it may be what cannot be in one
        raise MalformedPolicy("Effect is neither Allow nor Deny")
    if not all(isinstance(text, str) for name in ("Action", "Resource") for text in _as_list(statement[name])):
        raise MalformedPolicy("Action and Resource are strings")
    return statement


def _applies(statement: Mapping[str, Any], method_arn: str) -> bool:
    # IAM compares actions without regard to case, resources with it.
    return any(matches(action.lower(), _INVOKE) for action in _as_list(statement["Action"])) and any(
        matches(resource, method_arn) for resource in _as_list(statement["Resource"])
    )


def matches(pattern: str, text: str) -> bool:
    """Compare with IAM's wildcards: ``*`` is any text, slashes and all, ``?`` any one character."""
    expression = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
