"""Contributor Insights rules of the template: how many different accounts, and not how many events.

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
    """Who contributes to what: ``keys`` of the lines that pass all ``filters``."""

    keys: tuple[str, ...]
    filters: tuple[Mapping[str, Any], ...]

    def contributions(self, lines: Iterable[Line]) -> list[tuple[int, tuple[Any, ...]]]:
        """Return when (milliseconds since the epoch) each contributor was seen.

        Only security events count: they alone say to the millisecond when they happened.
        """
        return [
            (line["security_event"]["time"], tuple(_value(line, key) for key in self.keys))
            for line in lines
            if "security_event" in line and all(_passes(line, condition) for condition in self.filters)
        ]


def read_insight_rules(intrinsics: Intrinsics, *, log_groups: Collection[str]) -> dict[str, InsightRule]:
    """Return the rules by their names in CloudWatch.

    Args:
        intrinsics: The template's resources, and the values of its parameters.
        log_groups: where the functions' lines go. A rule over another one would never see them.

    Raises:
        TemplateError: a rule is off, or has something that is not evaluated here.

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
    surely_there = {condition.get("Match") for condition in filters if condition.get("IsPresent") is True}
    faults = {
        "it is not enabled": properties["RuleState"] != "ENABLED",
        "its schema": body["Schema"] != _SCHEMA or body["LogFormat"] != "JSON",
        "its log groups": set(body["LogGroupNames"]) - set(log_groups),
        "AggregateOn": body["AggregateOn"] != "Count",
        "its parts": set(body) - {"Schema", "LogFormat", "LogGroupNames", "AggregateOn", "Contribution"},
        "its contribution": set(contribution) - {"Keys", "Filters"},
        "its filters": any(not _is_known(condition) for condition in filters),
        # CloudWatch's guide does not say what a line without the key counts as.
        "a key that may be missing": set(keys) - surely_there,
    }
    if fault := next((fault for fault, holds in faults.items() if holds), None):
        message = f"insight rule {name} cannot be evaluated here: {fault}"
        raise TemplateError(message)
    return InsightRule(keys=keys, filters=filters)


def _is_known(condition: Mapping[str, Any]) -> bool:
    """Tell whether the filter has one of two operators, and a path of names without an index: ``$.a.b``."""
    is_path = re.fullmatch(r"\$(?:\.\w+)+", condition.get("Match", ""))
    return bool(is_path) and set(condition) in ({"Match", "In"}, {"Match", "IsPresent"})


def _passes(line: Line, condition: Mapping[str, Any]) -> bool:
    value = _value(line, condition["Match"])
    if "IsPresent" in condition:
        return (value is not None) is condition["IsPresent"]
    values: list[Any] = condition["In"]
    return value in values


def _value(line: Line, path: str) -> Any:
    """Return what is at ``$.a.b``, or ``None``."""
    value: Any = line
    for name in path.removeprefix("$.").split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
