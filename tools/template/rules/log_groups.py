"""Each log group is encrypted, forgets, and outlives the stack."""

from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch

#: The latter goes with a stack that never came to be.
KEPT = {"Retain", "RetainExceptOnCreate"}


class LogGroups(CloudFormationLintRule):  # type: ignore[misc] # cfn-lint is in an environment of its own
    """Without a retention a log is kept for ever; without Retain, the evidence goes with the stack."""

    id = "E9001"
    shortdesc = "Log groups have KmsKeyId, RetentionInDays, and Retain"
    description = "A log group must have a key of our own, an end to its retention, and outlive the stack"
    tags = ("logs",)

    def match(self, cfn: Any) -> list[RuleMatch]:
        """Return the log groups that lack one of these."""
        found = []
        for name, resource in cfn.get_resources(["AWS::Logs::LogGroup"]).items():
            lacks = {"KmsKeyId", "RetentionInDays"} - resource.get("Properties", {}).keys()
            lacks |= {kind for kind in ("DeletionPolicy", "UpdateReplacePolicy") if resource.get(kind) not in KEPT}
            if lacks:
                message = f"{name} lacks {', '.join(sorted(lacks))}"
                found.append(RuleMatch(["Resources", name], message))
        return found
