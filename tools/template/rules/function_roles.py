"""Rule E9003: each function has a role of its own, which is a resource of the template."""

from collections import Counter
from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch


class FunctionRoles(CloudFormationLintRule):  # type: ignore[misc] # cfn-lint is in an environment of its own
    """Without ``Role``, SAM creates a role with a managed policy that allows access to all logs."""

    id = "E9003"
    shortdesc = "Functions have roles of their own"
    description = "A function's role must be a resource of the template, no other function's, without managed policies"
    tags = ("iam", "lambda")

    def match(self, cfn: Any) -> list[RuleMatch]:
        """Return the functions that share a role, have no role of the template, or have one with managed policies."""
        roles = cfn.get_resources(["AWS::IAM::Role"])
        functions = cfn.get_resources(["AWS::Lambda::Function"])
        used = {name: _role_of(function) for name, function in functions.items()}
        shared = {role for role, count in Counter(used.values()).items() if count > 1}
        return [
            RuleMatch(["Resources", name, "Properties"], f"{name} has no role of its own: {role or 'none'}")
            for name, role in used.items()
            if role not in roles or role in shared or "ManagedPolicyArns" in roles[role]["Properties"]
        ]


def _role_of(function: Any) -> str:
    role = function["Properties"].get("Role")
    if not isinstance(role, dict):
        return ""
    attribute = role.get("Fn::GetAtt", "")
    return str(attribute.partition(".")[0] if isinstance(attribute, str) else attribute[0])
