"""What a deployment makes of template.yaml, as SAM's own translator says."""

from functools import cache
from typing import Any

from local_runtime.cloudformation import Intrinsics
from tests.support.runtime import PROJECT
from tools.deployed_template import translate

TEMPLATE = PROJECT / "template.yaml"


@cache
def translated(**parameters: str) -> dict[str, Any]:
    """Return CloudFormation's template; its parameters' defaults are ``parameters``, and ``Stage`` is prod."""
    return translate({"Stage": "prod", **parameters})


@cache
def deployed(**parameters: str) -> dict[str, Any]:
    """Return the resources of a deployment, by their logical ids, with the parameters filled in."""
    intrinsics = Intrinsics(translated(**parameters))
    return {name: intrinsics.resolve(resource) for name, resource in intrinsics.resources.items()}


def of_type(kind: str, **parameters: str) -> dict[str, Any]:
    """Return the properties of a deployment's resources of this type, by their logical ids."""
    found = {name: r["Properties"] for name, r in deployed(**parameters).items() if r["Type"] == kind}
    assert found
    return found


def statements(role: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a role may do."""
    return [s for policy in role.get("Policies", []) for s in policy["PolicyDocument"]["Statement"]]


def listed(value: Any) -> list[Any]:
    """Return a list of what may be one thing alone."""
    return value if isinstance(value, list) else [value]
