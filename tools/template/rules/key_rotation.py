"""Each symmetric key of KMS rotates."""

from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch


class KeyRotation(CloudFormationLintRule):  # type: ignore[misc] # cfn-lint is in an environment of its own
    """KMS rotates no asymmetric key: those have a procedure of their own (docs/runbooks/rotate-signing-key.md)."""

    id = "E9002"
    shortdesc = "Symmetric keys rotate"
    description = "A KMS key that encrypts must have EnableKeyRotation"
    tags = ("kms",)

    def match(self, cfn: Any) -> list[RuleMatch]:
        """Return the keys that encrypt and do not rotate."""
        return [
            RuleMatch(["Resources", name, "Properties"], f"{name} does not rotate")
            for name, resource in cfn.get_resources(["AWS::KMS::Key"]).items()
            if resource["Properties"].get("KeySpec", "SYMMETRIC_DEFAULT") == "SYMMETRIC_DEFAULT"
            and resource["Properties"].get("EnableKeyRotation") is not True
        ]
