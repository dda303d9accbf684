"""Evaluate the template's CloudWatch alarms on the log lines of the functions.

The alarms have their deployed definitions, so a change that makes an alarm miss an attack fails in ``make attack``. A
property that this module does not evaluate is an error. If it were ignored, the alarm would seem to be quiet.
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
#: Properties with the same value in all alarms of the template. Other values are not evaluated.
_FIXED: Final = {
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "EvaluationPeriods": 1,
    "TreatMissingData": "notBreaching",
}
_RUNBOOK: Final = re.compile(r"docs/runbooks/([a-z-]+)\.md")
_SUM_OF_ALL: Final = "SUM(FILL(METRICS(), 0))"
_UNIQUE_CONTRIBUTORS: Final = re.compile(r'INSIGHT_RULE_METRIC\("([^"]+)", "UniqueContributors"\)')

#: Returns the highest value in one period, from log lines.
_Peak = Callable[[Sequence[Line]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm that can be evaluated."""

    #: The name of its runbook, for example ``failed-logins``.
    name: str
    threshold: float
    peak: _Peak

    def is_raised_by(self, lines: Sequence[Line]) -> bool:
        """Return whether the alarm is raised in any period of ``lines``."""
        return self.peak(lines) >= self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """The template's alarms."""

    evaluated: tuple[Alarm, ...]
    #: The names of the alarms on AWS's own metrics, which the log lines do not contain.
    on_aws_metrics: tuple[str, ...]

    def raised_by(self, lines: Sequence[Line]) -> tuple[Alarm, ...]:
        """Return the alarms that ``lines`` raise."""
        return tuple(alarm for alarm in self.evaluated if alarm.is_raised_by(lines))


def load_alarms(path: Path) -> Alarms:
    """Return the alarms of the template ``path``, with the parameters' defaults.

    Raises:
        TemplateError: an alarm has a property that this module does not evaluate, or no runbook.

    """
    document = read_template(path)
    intrinsics = Intrinsics(document)
    logging = intrinsics.resolve((document.get("Globals") or {}).get("Function") or {}).get("LoggingConfig") or {}
    reader = _Reader(read_insight_rules(intrinsics, log_groups={str(logging.get("LogGroup"))}))
    on_aws_metrics, evaluated = [], []
    for name, resource in intrinsics.resources.items():
        if resource["Type"] == _ALARM:
            alarm = reader.read(name, intrinsics.resolve(resource["Properties"]))
            if isinstance(alarm, str):
                on_aws_metrics.append(alarm)
            else:
                evaluated.append(alarm)
    return Alarms(evaluated=tuple(evaluated), on_aws_metrics=tuple(on_aws_metrics))


class _Reader:
    """Reads alarms, with the insight rules that they may refer to."""

    def __init__(self, rules: Mapping[str, InsightRule]) -> None:
        self._rules = rules

    def read(self, resource: str, properties: Mapping[str, Any]) -> Alarm | str:
        """Return the alarm, or only its name if it is on AWS's own metrics."""
        _require_known(properties, _KNOWN, resource)
        for name, value in _FIXED.items():
            if properties.get(name) != value:
                raise _unknown(resource, f"{name} must be {value}, not {properties.get(name)}")
        runbook = _RUNBOOK.search(properties.get("AlarmDescription", ""))
        if runbook is None:
            raise _unknown(resource, "its description must name a runbook")
        peak = self._peak(resource, properties)
        if peak is None:
            return runbook[1]
        return Alarm(name=runbook[1], threshold=float(properties["Threshold"]), peak=peak)

    def _peak(self, resource: str, properties: Mapping[str, Any]) -> _Peak | None:
        if "Metrics" not in properties:
            if properties["Statistic"] != "Sum":
                raise _unknown(resource, f"Statistic must be Sum, not {properties['Statistic']}")
            return _sum_peak(resource, [_metric(properties)], properties["Period"])
        returned = [query for query in properties["Metrics"] if query.get("ReturnData", True)]
        others = [query for query in properties["Metrics"] if not query.get("ReturnData", True)]
        if len(returned) != 1:
            raise _unknown(resource, "it must return one series")
        (query,) = returned
        _require_known(query, {"Expression", "Id", "Period", "ReturnData"}, resource)
        if query.get("Expression") == _SUM_OF_ALL:
            return self._peak_of_sum(resource, others)
        contributors = _UNIQUE_CONTRIBUTORS.fullmatch(query.get("Expression", ""))
        if contributors and not others and contributors[1] in self._rules:
            return _contributors_peak(self._rules[contributors[1]], query["Period"])
        raise _unknown(resource, f"unknown expression {query.get('Expression')}")

    def _peak_of_sum(self, resource: str, queries: Sequence[Mapping[str, Any]]) -> _Peak | None:
        metrics, periods = [], set()
        for query in queries:
            _require_known(query, {"Id", "MetricStat", "ReturnData"}, resource)
            stat = query["MetricStat"]
            _require_known(stat, {"Metric", "Period", "Stat"}, resource)
            if stat["Stat"] != "Sum":
                raise _unknown(resource, f"Stat must be Sum, not {stat['Stat']}")
            metrics.append(_metric(stat["Metric"]))
            periods.add(stat["Period"])
        if len(periods) != 1:
            raise _unknown(resource, "its metrics must have one period")
        return _sum_peak(resource, metrics, periods.pop())


def _metric(properties: Mapping[str, Any]) -> Metric:
    dimensions = frozenset((dimension["Name"], dimension["Value"]) for dimension in properties.get("Dimensions", ()))
    return Metric(properties["Namespace"], properties["MetricName"], dimensions)


def _sum_peak(resource: str, metrics: Sequence[Metric], period: int) -> _Peak | None:
    aws = [metric for metric in metrics if metric.namespace.startswith("AWS/")]
    if aws and len(aws) < len(metrics):
        raise _unknown(resource, "it must not add metrics of the service to those of AWS")
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
    """Return the values of each window of ``period`` seconds that begins at a point.

    CloudWatch evaluates the last period once a minute. Here a window begins at every point, so that the result does not
    depend on the moment at which an attack begins.

    Args:
        points: times in milliseconds since the epoch, and values.
        period: the length of a window in seconds.

    """
    return [
        [value for time, value in points if start <= time < start + 1000 * period]
        for start in {time for time, _ in points}
    ]


def _require_known(properties: Mapping[str, Any], known: set[str], resource: str) -> None:
    if unknown := sorted(set(properties) - known):
        raise _unknown(resource, f"unknown {', '.join(unknown)}")


def _unknown(resource: str, reason: str) -> TemplateError:
    return TemplateError(f"alarm {resource} cannot be evaluated: {reason}")
