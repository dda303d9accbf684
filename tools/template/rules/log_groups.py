"""Rule E9001: each log group is encrypted, has a retention, and is retained when the stack is deleted."""

from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch

#: RetainExceptOnCreate deletes the resource only if the creation of the stack fails.
RETAINING_POLICIES = {"Retain", "RetainExceptOnCreate"}


class LogGroups(CloudFormationLintRule):  # type: ignore[misc] # cfn-lint is in an environment of its own
    """Without a retention a log is never deleted. Without Retain, the evidence is deleted with the stack."""

    id = "E9001"
    shortdesc = "Log groups have KmsKeyId, RetentionInDays, and Retain"
    description = "A log group must have KmsKeyId, RetentionInDays and the deletion policy Retain"
    tags = ("logs",)

    def match(self, cfn: Any) -> list[RuleMatch]:
        """Return the log groups without one of these properties."""
        found = []
        for name, resource in cfn.get_resources(["AWS::Logs::LogGroup"]).items():
            missing = {"KmsKeyId", "RetentionInDays"} - resource.get("Properties", {}).keys()
            missing |= {
                kind
                for kind in ("DeletionPolicy", "UpdateReplacePolicy")
                if resource.get(kind) not in RETAINING_POLICIES
            }
            if missing:
                message = f"{name} lacks {', '.join(sorted(missing))}"
                found.append(RuleMatch(["Resources", name], message))
        return found
