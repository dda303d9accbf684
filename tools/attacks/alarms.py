"""The template's CloudWatch alarms, evaluated over the lines that the functions have written.

The definitions are those that are deployed: an attack that no alarm sees any more fails here first. What this module
does not know is an error and never left out, or an alarm would seem to be quiet that nobody has asked.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local_runtime.cloudformation import Intrinsics, TemplateError, read_template
from tools.attacks.insight_rules import InsightRule, read_insight_rules
from tools.attacks.log_lines import Line, Metric, datapoints

_ALARM: Final = "AWS::CloudWatch::Alarm"
_KNOWN: Final = {
    "AlarmActions", "AlarmDescription", "AlarmName", "ComparisonOperator", "Dimensions", "EvaluationPeriods",
    "MetricName", "Metrics", "Namespace", "Period", "Statistic", "Threshold", "TreatMissingData",
}  # fmt: skip
#: What every alarm of ours has, so that nothing has to be known about it here.
_FIXED: Final = {
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "EvaluationPeriods": 1,
    "TreatMissingData": "notBreaching",
}
_RUNBOOK: Final = re.compile(r"docs/runbooks/([a-z-]+)\.md")
_SUM_OF_ALL: Final = "SUM(FILL(METRICS(), 0))"
_UNIQUE_CONTRIBUTORS: Final = re.compile(r'INSIGHT_RULE_METRIC\("([^"]+)", "UniqueContributors"\)')

#: From log lines to the highest value that one period has.
_Peak = Callable[[Sequence[Line]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm."""

    #: Its runbook's name: ``failed-logins``.
    name: str
    threshold: float
    peak: _Peak

    def is_raised_by(self, lines: Sequence[Line]) -> bool:
        """Tell whether it goes off at some moment of what ``lines`` tell."""
        return self.peak(lines) >= self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """The template's alarms."""

    evaluated: tuple[Alarm, ...]
    #: Those on metrics that AWS itself counts: nothing here could raise or quiet them.
    left_to_aws: tuple[str, ...]

    def raised_by(self, lines: Sequence[Line]) -> tuple[Alarm, ...]:
        """Return those that go off."""
        return tuple(alarm for alarm in self.evaluated if alarm.is_raised_by(lines))


def load_alarms(path: Path) -> Alarms:
    """Read the alarms of the template at ``path``, with the parameters' defaults.

    Raises:
        TemplateError: an alarm has something that is not evaluated here, or no runbook.

    """
    document = read_template(path)
    intrinsics = Intrinsics(document)
    logging = intrinsics.resolve((document.get("Globals") or {}).get("Function") or {}).get("LoggingConfig") or {}
    reader = _Reader(read_insight_rules(intrinsics, log_groups={str(logging.get("LogGroup"))}))
    left_to_aws, evaluated = [], []
    for name, resource in intrinsics.resources.items():
        if resource["Type"] == _ALARM:
            alarm = reader.read(name, intrinsics.resolve(resource["Properties"]))
            if isinstance(alarm, str):
                left_to_aws.append(alarm)
            else:
                evaluated.append(alarm)
    return Alarms(evaluated=tuple(evaluated), left_to_aws=tuple(left_to_aws))


class _Reader:
    """Reads one alarm after the other."""

    def __init__(self, rules: Mapping[str, InsightRule]) -> None:
        self._rules = rules

    def read(self, resource: str, properties: Mapping[str, Any]) -> Alarm | str:
        """Return the alarm, or its name alone where AWS counts its metrics."""
        _require_known(properties, _KNOWN, resource)
        for name, value in _FIXED.items():
            if properties.get(name) != value:
                raise _unknown(resource, f"{name} is {properties.get(name)}, and only {value} is evaluated")
        runbook = _RUNBOOK.search(properties.get("AlarmDescription", ""))
        if runbook is None:
            raise _unknown(resource, "its description names no runbook")
        peak = self._peak(resource, properties)
        if peak is None:
            return runbook[1]
        return Alarm(name=runbook[1], threshold=float(properties["Threshold"]), peak=peak)

    def _peak(self, resource: str, properties: Mapping[str, Any]) -> _Peak | None:
        if "Metrics" not in properties:
            if properties["Statistic"] != "Sum":
                raise _unknown(resource, f"Statistic {properties['Statistic']}")
            return _sum_peak(resource, [_metric(properties)], properties["Period"])
        returned = [query for query in properties["Metrics"] if query.get("ReturnData", True)]
        others = [query for query in properties["Metrics"] if not query.get("ReturnData", True)]
        if len(returned) != 1:
            raise _unknown(resource, "it does not return one series")
        (query,) = returned
        _require_known(query, {"Expression", "Id", "Period", "ReturnData"}, resource)
        if query.get("Expression") == _SUM_OF_ALL:
            return self._peak_of_sum(resource, others)
        contributors = _UNIQUE_CONTRIBUTORS.fullmatch(query.get("Expression", ""))
        if contributors and not others and contributors[1] in self._rules:
            return _contributors_peak(self._rules[contributors[1]], query["Period"])
        raise _unknown(resource, f"expression {query.get('Expression')}")

    def _peak_of_sum(self, resource: str, queries: Sequence[Mapping[str, Any]]) -> _Peak | None:
        metrics, periods = [], set()
        for query in queries:
            _require_known(query, {"Id", "MetricStat", "ReturnData"}, resource)
            stat = query["MetricStat"]
            _require_known(stat, {"Metric", "Period", "Stat"}, resource)
            if stat["Stat"] != "Sum":
                raise _unknown(resource, f"Stat {stat['Stat']}")
            metrics.append(_metric(stat["Metric"]))
            periods.add(stat["Period"])
        if len(periods) != 1:
            raise _unknown(resource, "its metrics have different periods")
        return _sum_peak(resource, metrics, periods.pop())


def _metric(properties: Mapping[str, Any]) -> Metric:
    dimensions = frozenset((dimension["Name"], dimension["Value"]) for dimension in properties.get("Dimensions", ()))
    return Metric(properties["Namespace"], properties["MetricName"], dimensions)


def _sum_peak(resource: str, metrics: Sequence[Metric], period: int) -> _Peak | None:
    aws = [metric for metric in metrics if metric.namespace.startswith("AWS/")]
    if aws and len(aws) < len(metrics):
        raise _unknown(resource, "it adds our metrics to those of AWS")
    if aws:
        return None
    wanted = frozenset(metrics)

    def peak(lines: Sequence[Line]) -> float:
        points = [(point.time, point.value) for point in datapoints(lines) if point.metric in wanted]
        return max((sum(values) for values in _windows(points, period)), default=0)

    return peak


def _contributors_peak(rule: InsightRule, period: int) -> _Peak:
    def peak(lines: Sequence[Line]) -> float:
        return max((len(set(seen)) for seen in _windows(rule.contributions(lines), period)), default=0)

    return peak


def _windows(points: Sequence[tuple[int, Any]], period: int) -> list[list[Any]]:
    """Return the values of each stretch of ``period`` seconds that begins with one of them.

    CloudWatch looks at the last period once a minute; here every moment counts, so that it does not matter when an
    attack begins.
    """
    return [
        [value for time, value in points if start <= time < start + 1000 * period]
        for start in {time for time, _ in points}
    ]


def _require_known(properties: Mapping[str, Any], known: set[str], resource: str) -> None:
    if unknown := sorted(set(properties) - known):
        raise _unknown(resource, ", ".join(unknown))


def _unknown(resource: str, what: str) -> TemplateError:
    return TemplateError(f"alarm {resource} cannot be evaluated here: {what}")
