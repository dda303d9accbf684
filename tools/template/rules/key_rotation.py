"""Rule E9002: each symmetric key in KMS rotates."""

from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch


class KeyRotation(CloudFormationLintRule):  # type: ignore[misc] # cfn-lint is in an environment of its own
    """KMS does not rotate asymmetric keys. docs/runbooks/rotate-signing-key.md describes their rotation."""

    id = "E9002"
    shortdesc = "Symmetric keys rotate"
    description = "A KMS key that encrypts must have EnableKeyRotation"
    tags = ("kms",)

    def match(self, cfn: Any) -> list[RuleMatch]:
        """Return the symmetric keys without rotation."""
        return [
            RuleMatch(["Resources", name, "Properties"], f"{name} does not rotate")
            for name, resource in cfn.get_resources(["AWS::KMS::Key"]).items()
            if resource["Properties"].get("KeySpec", "SYMMETRIC_DEFAULT") == "SYMMETRIC_DEFAULT"
            and resource["Properties"].get("EnableKeyRotation") is not True
        ]
