"""IAM policies of Lambda authorizers, evaluated as API Gateway does."""

import re
from collections.abc import Mapping
from typing import Any, Final

_INVOKE: Final = "execute-api:Invoke"


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
    effects = {
        _effect(statement) for statement in _as_list(document.get("Statement")) if _applies(statement, method_arn)
    }
    return effects == {"Allow"}


def _applies(statement: Any, method_arn: str) -> bool:
    if not isinstance(statement, Mapping) or not {"Action", "Effect", "Resource"} <= statement.keys():
        raise MalformedPolicy("a statement needs Action, Effect and Resource")
    if unknown := statement.keys() - {"Action", "Effect", "Resource", "Sid"}:
        message = f"{', '.join(sorted(unknown))} is not evaluated"
        raise MalformedPolicy(message)
    # IAM compares actions without regard to case, resources with it.
    return any(matches(action.lower(), _INVOKE.lower()) for action in _texts(statement["Action"])) and any(
        matches(resource, method_arn) for resource in _texts(statement["Resource"])
    )


def _effect(statement: Mapping[str, Any]) -> str:
    if statement["Effect"] not in {"Allow", "Deny"}:
        raise MalformedPolicy("Effect is neither Allow nor Deny")
    return str(statement["Effect"])


def matches(pattern: str, text: str) -> bool:
    """Compare with IAM's wildcards: ``*`` is any text, slashes and all, ``?`` any one character."""
    expression = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _texts(value: Any) -> list[str]:
    texts = _as_list(value)
    if not all(isinstance(text, str) for text in texts):
        raise MalformedPolicy("Action and Resource are strings")
    return texts
