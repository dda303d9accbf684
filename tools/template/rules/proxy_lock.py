"""Rule E9006: the firewall believes a forwarded IP only together with the proxy's lock, and a distribution sends it."""

import json
from collections.abc import Iterator
from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch

#: The header field that contains the lock. AWS WAF requires small letters.
LOCK = "x-proxy-lock"


class ProxyLock(CloudFormationLintRule):  # type: ignore[misc] # cfn-lint is in an environment of its own
    """Any client can send a header field with an IP. The lock proves that a trusted proxy has written it."""

    id = "E9006"
    shortdesc = "Forwarded IPs need the lock"
    description = "A firewall rule on a forwarded IP must require the lock, and the origin of an API must get it"
    tags = ("wafv2", "cloudfront")

    def match(self, cfn: Any) -> list[RuleMatch]:
        """Return the firewall rules on forwarded IPs without the lock, and the origins that do not get it."""
        acls = cfn.get_resources(["AWS::WAFv2::WebACL"])
        distributions = cfn.get_resources(["AWS::CloudFront::Distribution"])
        return [
            *(
                RuleMatch(["Resources", name, "Properties"], f"{rule} believes a forwarded IP without the lock")
                for name, resource in acls.items()
                for rule, statement in _rules(resource["Properties"]["Rules"])
                if "ForwardedIP" in json.dumps(statement) and LOCK not in json.dumps(statement)
            ),
            *(
                RuleMatch(["Resources", name, "Properties"], f"the origin {origin['Id']} does not get the lock")
                for name, resource in distributions.items()
                for origin in resource["Properties"]["DistributionConfig"]["Origins"]
                if "CustomOriginConfig" in origin and LOCK not in json.dumps(origin).lower()
            ),
        ]


def _rules(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and statement of each firewall rule, also of those inside ``Fn::If``."""
    if isinstance(value, list):
        for item in value:
            yield from _rules(item)
    elif isinstance(value, dict) and "Fn::If" in value:
        yield from _rules(value["Fn::If"][1:])
    elif isinstance(value, dict) and "Statement" in value:
        yield value["Name"], value["Statement"]
