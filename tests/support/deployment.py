"""What a deployment makes of template.yaml, as SAM's own translator says."""

import json
import subprocess
from functools import cache
from typing import Any

from local_runtime.cloudformation import Intrinsics, read_template
from tests.support.requirements import require_uv
from tests.support.runtime import PROJECT

TEMPLATE = PROJECT / "template.yaml"


@cache
def translated(**parameters: str) -> dict[str, Any]:
    """Return CloudFormation's template; its parameters' defaults are ``parameters``, and ``Stage`` is prod."""
    document = read_template(TEMPLATE)
    for name, value in {"Stage": "prod", **parameters}.items():
        document["Parameters"][name]["Default"] = value
    command = [require_uv(), "run", "--script", "--locked", "tools/translated_template.py"]
    text = json.dumps(document)
    done = subprocess.run(command, cwd=PROJECT, input=text, stdout=subprocess.PIPE, check=True, text=True)
    template: dict[str, Any] = json.loads(done.stdout)
    return template


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
