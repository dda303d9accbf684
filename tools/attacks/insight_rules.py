"""Evaluate the template's Contributor Insights rules, which count different accounts instead of security events.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/ContributorInsights-RuleSyntax.html
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from local_runtime.cloudformation import Intrinsics, TemplateError
from tools.attacks.log_lines import Line

_RULE: Final = "AWS::CloudWatch::InsightRule"
_SCHEMA: Final = {"Name": "CloudWatchLogRule", "Version": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightRule:
    """A rule: each line that passes all ``filters`` has a contributor, which is the values of ``keys``."""

    keys: tuple[str, ...]
    filters: tuple[Mapping[str, Any], ...]

    def contributions(self, lines: Iterable[Line]) -> list[tuple[int, tuple[Any, ...]]]:
        """Return a time in milliseconds since the epoch and a contributor for each matching line.

        Only lines of security events match, because other lines have no time in milliseconds.
        """
        return [
            (line["security_event"]["time"], tuple(_value(line, key) for key in self.keys))
            for line in lines
            if "security_event" in line and all(_passes(line, condition) for condition in self.filters)
        ]


def read_insight_rules(intrinsics: Intrinsics, *, log_groups: Collection[str]) -> dict[str, InsightRule]:
    """Return the rules by their names in CloudWatch.

    Args:
        intrinsics: the template's resources and the values of its parameters.
        log_groups: the log groups of the functions. A rule on another log group would match no line.

    Raises:
        TemplateError: a rule is disabled, or has a property that this module does not evaluate.

    """
    rules = {
        name: intrinsics.resolve(resource["Properties"])
        for name, resource in intrinsics.resources.items()
        if resource["Type"] == _RULE
    }
    return {properties["RuleName"]: _read(name, properties, log_groups) for name, properties in rules.items()}


def _read(name: str, properties: Mapping[str, Any], log_groups: Collection[str]) -> InsightRule:
    body = json.loads(properties["RuleBody"])
    contribution = body["Contribution"]
    keys, filters = tuple(contribution["Keys"]), tuple(contribution.get("Filters", ()))
    required = {condition.get("Match") for condition in filters if condition.get("IsPresent") is True}
    faults = {
        "RuleState must be ENABLED": properties["RuleState"] != "ENABLED",
        "unknown schema": body["Schema"] != _SCHEMA or body["LogFormat"] != "JSON",
        "unknown log groups": set(body["LogGroupNames"]) - set(log_groups),
        "AggregateOn must be Count": body["AggregateOn"] != "Count",
        "unknown keys of RuleBody": set(body) - {"Schema", "LogFormat", "LogGroupNames", "AggregateOn", "Contribution"},
        "unknown keys of Contribution": set(contribution) - {"Keys", "Filters"},
        "unknown filters": any(not _is_known(condition) for condition in filters),
        # CloudWatch's guide does not document how a line without the key is counted.
        "a key must be IsPresent in the filters": set(keys) - required,
    }
    if fault := next((fault for fault, is_present in faults.items() if is_present), None):
        message = f"insight rule {name} cannot be evaluated: {fault}"
        raise TemplateError(message)
    return InsightRule(keys=keys, filters=filters)


def _is_known(condition: Mapping[str, Any]) -> bool:
    """Return whether the filter has a path without an index (``$.a.b``) and the operator In or IsPresent."""
    is_path = re.fullmatch(r"\$(?:\.\w+)+", condition.get("Match", ""))
    return bool(is_path) and set(condition) in ({"Match", "In"}, {"Match", "IsPresent"})


def _passes(line: Line, condition: Mapping[str, Any]) -> bool:
    value = _value(line, condition["Match"])
    if "IsPresent" in condition:
        return (value is not None) is condition["IsPresent"]
    values: list[Any] = condition["In"]
    return value in values


def _value(line: Line, path: str) -> Any:
    """Return the value at a path such as ``$.a.b``, or None if there is none."""
    value: Any = line
    for name in path.removeprefix("$.").split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
