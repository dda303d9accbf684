"""The CloudFormation resources that SAM's own translator makes from template.yaml."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from local_runtime.cloudformation import Intrinsics
from tests.support.runtime import PROJECT
from tools.template.deployed_template import translate, with_defaults

TEMPLATE = PROJECT / "template.yaml"
#: The functions that CloudFormation accepts in rules ("Rule functions" in its Template Reference). Join, Sub and others
#: fail each deployment with "functions are not supported in the Rules block".
RULE_FUNCTIONS = {"Ref"} | {f"Fn::{name}" for name in ("And", "Contains", "Equals", "Not", "Or")}


@cache
def translated(**parameters: str) -> dict[str, Any]:
    """Return the CloudFormation template, with ``parameters`` and ``Stage=prod`` as the defaults of its parameters.

    SAM translates template.yaml once, because only the logical id of the API's deployment depends on parameters
    (``test_translation_is_the_same_for_all_parameters``).
    """
    template = _translated()
    return {**template, "Parameters": with_defaults({"Stage": "prod", **parameters})["Parameters"]}


@cache
def _translated() -> dict[str, Any]:
    return translate(with_defaults({"Stage": "prod"}))


def rejections(**parameters: str) -> set[str]:
    """Return the names of the rules and parameters for which CloudFormation rejects a deployment to ``Stage=prod``."""
    needed = {"Stage": "prod", "WebauthnRpId": "example.com", "WebauthnOrigins": "https://login.example.com"}
    template = with_defaults({**needed, **parameters})
    intrinsics = Intrinsics(template)
    broken = {
        name
        for name, rule in template["Rules"].items()
        if intrinsics.resolve(rule.get("RuleCondition", True))
        and not all(intrinsics.resolve(assertion["Assert"]) for assertion in rule["Assertions"])
    }
    assert set(functions_in([list(rule.values()) for rule in template["Rules"].values()])) <= RULE_FUNCTIONS
    return broken | {name for name, value in parameters.items() if not allowed_pattern(name).search(value)}


@cache
def allowed_pattern(parameter: str) -> re.Pattern[str]:
    """Return the pattern of a parameter's values. A parameter without a pattern accepts every value."""
    return re.compile(with_defaults({})["Parameters"][parameter].get("AllowedPattern", ""), re.ASCII)


def functions_in(value: Any) -> Iterator[str]:
    """Yield the names of the intrinsic functions in a value of the template."""
    if isinstance(value, list):
        for item in value:
            yield from functions_in(item)
    elif isinstance(value, dict):
        yield from (name for name in value if name in {"Ref", "Condition"} or name.startswith("Fn::"))
        for item in value.values():
            yield from functions_in(item)


@cache
def deployed(**parameters: str) -> dict[str, Any]:
    """Return the resources of a deployment by logical id, with references to parameters resolved."""
    intrinsics = Intrinsics(translated(**parameters))
    return {name: intrinsics.resolve(resource) for name, resource in intrinsics.resources.items()}


def resources_of_type(kind: str, **parameters: str) -> dict[str, Any]:
    """Return the properties of all resources of one type, by logical id. Fail if there is none."""
    found = {name: r["Properties"] for name, r in deployed(**parameters).items() if r["Type"] == kind}
    assert found
    return found


def policy_statements(role: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the policy statements of a role."""
    return [s for policy in role.get("Policies", []) for s in policy["PolicyDocument"]["Statement"]]


def as_list(value: Any) -> list[Any]:
    """Return ``value`` if it is a list, otherwise a list with ``value``: IAM accepts both."""
    return value if isinstance(value, list) else [value]
