"""Rule E9005: each attribute in Fn::GetAtt and Fn::Sub is in the resource's schema in CloudFormation's registry."""

import re
from collections.abc import Iterator
from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

#: ``${Resource.Attribute}`` in a text of ``Fn::Sub``. ``${!`` starts a literal.
_REFERENCE = re.compile(r"\$\{([^!}.]+)\.([^}]+)\}")
#: Types whose attributes the registry does not describe: custom resources, and resources that SAM translates.
_NOT_DESCRIBED = ("Custom::", "AWS::CloudFormation::CustomResource", "AWS::Serverless::")


class ReadOnlyAttributes(CloudFormationLintRule):  # type: ignore[misc] # cfn-lint is in an environment of its own
    """cfn-lint accepts some attributes that the registry does not list, such as an InsightRule's ``RuleName``."""

    id = "E9005"
    shortdesc = "Attributes are in the registry's schema"
    description = "Fn::GetAtt and Fn::Sub must name read-only properties of the resource's schema"
    tags = ("functions",)

    def match(self, cfn: Any) -> list[RuleMatch]:
        """Return the attributes that the registry's schemas do not list."""
        types = {name: resource["Type"] for name, resource in cfn.template["Resources"].items()}
        return [
            RuleMatch(path, f"{types[name]} returns no {attribute}")
            for path, name, attribute in _attributes(cfn)
            if name in types
            and not types[name].startswith(_NOT_DESCRIBED)
            and attribute not in _read_only(cfn.regions[0], types[name])
        ]


def _attributes(cfn: Any) -> Iterator[tuple[list[Any], str, str]]:
    for *path, value in cfn.search_deep_keys("Fn::GetAtt"):
        name, _, attribute = (value if isinstance(value, str) else ".".join(value)).partition(".")
        yield path, name, attribute
    for *path, value in cfn.search_deep_keys("Fn::Sub"):
        for name, attribute in _REFERENCE.findall(value if isinstance(value, str) else value[0]):
            yield path, name, attribute


def _read_only(region: str, kind: str) -> set[str]:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(region, kind).schema
    pointers = schema.get("readOnlyProperties", [])
    return {pointer.removeprefix("/properties/").replace("/", ".") for pointer in pointers}
