"""The evaluation of the template's alarms: known properties are evaluated, and unknown ones are rejected."""

import json
from copy import deepcopy
from typing import Any

import pytest

from local_runtime.cloudformation import TemplateError
from tools.attacks.alarms import load_alarms
from tools.attacks.log_lines import Line, datapoints, read_lines, security_events

pytestmark = pytest.mark.events

METRIC = {"Namespace": "Ours", "MetricName": "fails", "Dimensions": [{"Name": "service", "Value": "s"}]}
ALARM = {
    "AlarmName": "x",
    "AlarmDescription": "See docs/runbooks/many-fails.md.",
    **METRIC,
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "Threshold": 3,
    "TreatMissingData": "notBreaching",
    "AlarmActions": ["topic"],
}
WITHOUT_A_SERIES = {name: value for name, value in ALARM.items() if name not in {*METRIC, "Statistic", "Period"}}
FILTERS = [
    {"Match": "$.message", "In": ["fail", "worse"]},
    {"Match": "$.security_event.user.uid", "IsPresent": True},
]
RULE: dict[str, Any] = {
    "Schema": {"Name": "CloudWatchLogRule", "Version": 1},
    "LogGroupNames": ["${Logs}"],
    "LogFormat": "JSON",
    "Contribution": {"Keys": ["$.security_event.user.uid"], "Filters": FILTERS},
    "AggregateOn": "Count",
}


def series(metric, name=METRIC["MetricName"], period=60, stat="Sum"):
    of = {"Stat": stat, "Period": period, "Metric": {**metric, "MetricName": name}}
    return {"Id": name, "ReturnData": False, "MetricStat": of}


def total(*queries):
    return {**WITHOUT_A_SERIES, "Metrics": [{"Id": "total", "Expression": "SUM(FILL(METRICS(), 0))"}, *queries]}


def contributors(rule="r", statistic="UniqueContributors"):
    expression = f'INSIGHT_RULE_METRIC("{rule}", "{statistic}")'
    return {**WITHOUT_A_SERIES, "Metrics": [{"Id": "accounts", "Expression": expression, "Period": 60}]}


@pytest.fixture
def load(tmp_path):
    def load(alarm, *, rule=RULE, state="ENABLED"):
        properties = {"RuleName": "r", "RuleState": state, "RuleBody": {"Fn::Sub": json.dumps(rule)}}
        document = {
            "Globals": {"Function": {"LoggingConfig": {"LogGroup": {"Ref": "Logs"}}}},
            "Resources": {
                "Logs": {"Type": "AWS::Logs::LogGroup"},
                "Rule": {"Type": "AWS::CloudWatch::InsightRule", "Properties": properties},
                "TheAlarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": alarm},
            },
        }
        file = tmp_path / "template.yaml"
        file.write_text(json.dumps(document))
        return load_alarms(file)

    return load


def counted(*seconds, name="fails", value=1, **changes):
    """Return a log line with a metric (EMF) for each time in seconds."""
    metrics = [{"Namespace": "Ours", "Dimensions": [["service"]], "Metrics": [{"Name": name}], **changes}]
    lines = [{"_aws": {"Timestamp": 1000 * second, "CloudWatchMetrics": metrics}} for second in seconds]
    return [line | {"service": "s", "region": "r", name: value} for line in lines]


def failed(*users, second=0, message="fail"):
    return [{"message": message, "security_event": {"time": 1000 * second, "user": {"uid": uid}}} for uid in users]


@pytest.mark.parametrize(
    ("lines", "raised"),
    [
        ([], False),
        (counted(0, 1), False),
        (counted(0, 1, 2), True),
        (counted(0, 30, 60), False),
        (counted(1, 30, 60), True),
        (counted(0, 1, 2, name="others"), False),
        (counted(0, 1, 2, Namespace="Theirs"), False),
        (counted(0, 1, 2, Dimensions=[[]]), False),
        (counted(0, 1, 2, Dimensions=[["service", "region"]]), False),
        (failed("a", "b", "c"), False),
    ],
    ids=[
        *("nothing", "below the threshold", "at the threshold", "in two periods", "in one period", "another name"),
        *("another namespace", "no dimension", "a dimension more", "no metric"),
    ],
)
def test_alarm_is_raised_if_its_metric_reaches_the_threshold_in_a_period(load, lines, raised):
    assert [alarm.name for alarm in load(ALARM).raised_by(lines)] == ["many-fails"] * raised


def test_several_values_in_one_line_are_all_counted(load):
    (alarm,) = load(ALARM).evaluated
    assert alarm.peak(counted(0, value=[1, 1, 5])) == 7


def test_sum_of_metrics_treats_missing_values_as_zero(load):
    (alarm,) = load(total(series(METRIC, "fails"), series(METRIC, "done"))).evaluated
    assert alarm.peak(counted(0, 1)) == 2
    assert alarm.peak([*counted(0, 1), *counted(2, 3, name="done")]) == 4


def test_contributors_are_counted_once_each(load):
    (alarm,) = load(contributors()).evaluated
    assert alarm.peak(failed("a", "a", "b")) == 2
    assert alarm.peak([*failed("a", "b"), *failed("c", second=59), *failed("d", second=61)]) == 3
    assert alarm.is_raised_by([*failed("a", "b"), *failed("c", message="worse")])


@pytest.mark.parametrize(
    "lines",
    [
        failed("a", message="success"),
        [{"message": "fail", "security_event": {"time": 0, "user": {"account": {"uid": "x"}}}}],
        [{"message": "fail", "security_event": {"time": 0, "user": "a"}}],
        [{"message": "fail"}],
        counted(0),
    ],
    ids=["another event", "no key", "no object on the way", "no security event", "a metric"],
)
def test_line_that_the_rule_does_not_match_has_no_contributor(load, lines):
    (alarm,) = load(contributors()).evaluated
    assert alarm.peak(lines) == 0


@pytest.mark.parametrize(
    "alarm", [{**ALARM, "Namespace": "AWS/Lambda"}, total(series({**METRIC, "Namespace": "AWS/X"}))]
)
def test_alarm_on_metrics_of_aws_is_listed_but_not_evaluated(load, alarm):
    alarms = load(alarm)
    assert (alarms.evaluated, alarms.on_aws_metrics) == ((), ("many-fails",))


@pytest.mark.parametrize(
    ("alarm", "reason"),
    [
        ({**ALARM, "EvaluationPeriods": 2}, "EvaluationPeriods must be 1, not 2"),
        ({**ALARM, "DatapointsToAlarm": 1}, "DatapointsToAlarm"),
        ({**ALARM, "ExtendedStatistic": "p99"}, "ExtendedStatistic"),
        ({**ALARM, "ComparisonOperator": "LessThanThreshold"}, "ComparisonOperator must be .*, not LessThanThreshold"),
        ({**ALARM, "TreatMissingData": "breaching"}, "TreatMissingData must be notBreaching, not breaching"),
        ({**ALARM, "Statistic": "Average"}, "Statistic must be Sum, not Average"),
        ({**ALARM, "AlarmDescription": "See the wiki."}, "must name a runbook"),
        (total(series(METRIC), series(METRIC, "done", period=300)), "must have one period"),
        (total(series(METRIC, stat="p99")), "Stat must be Sum, not p99"),
        (total(), "must have one period"),
        (total(series(METRIC), series({**METRIC, "Namespace": "AWS/X"})), "must not add metrics of the service"),
        (total({**series(METRIC), "Label": "x"}), "Label"),
        ({**WITHOUT_A_SERIES, "Metrics": [series(METRIC)]}, "must return one series"),
        ({**WITHOUT_A_SERIES, "Metrics": [{"Id": "x", "Expression": "m1 / m2"}]}, "expression m1 / m2"),
        ({**WITHOUT_A_SERIES, "Metrics": [{"Id": "x"}]}, "expression None"),
        (contributors(statistic="MaxContributorValue"), "MaxContributorValue"),
        (contributors(rule="another"), "another"),
    ],
)
def test_alarm_with_an_unknown_property_is_rejected(load, alarm, reason):
    with pytest.raises(TemplateError, match=f"TheAlarm cannot be evaluated: .*{reason}"):
        load(alarm)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"AggregateOn": "Sum"}, "AggregateOn"),
        ({"LogFormat": "CLF"}, "unknown schema"),
        ({"Schema": {"Name": "CloudWatchLogRule", "Version": 2}}, "unknown schema"),
        ({"LogGroupNames": ["/somewhere/else"]}, "unknown log groups"),
        ({"Fields": {"1": "x"}}, "unknown keys of RuleBody"),
        ({"Contribution": {**RULE["Contribution"], "ValueOf": "$.bytes"}}, "unknown keys of Contribution"),
        ({"Contribution": {"Keys": ["$.a"]}}, "a key must be IsPresent in the filters"),
    ],
)
def test_rule_with_an_unknown_property_is_rejected(load, change, reason):
    with pytest.raises(TemplateError, match=f"insight rule Rule cannot be evaluated: {reason}"):
        load(contributors(), rule={**RULE, **change})


@pytest.mark.parametrize(
    "condition",
    [
        {"Match": "$.message", "StartsWith": ["f"]},
        {"Match": "$.message", "In": ["fail"], "IsPresent": True},
        {"Match": "$.messages[0]", "In": ["fail"]},
        {"Match": "message", "In": ["fail"]},
    ],
)
def test_rule_that_is_disabled_or_has_an_unknown_filter_is_rejected(load, condition):
    rule = deepcopy(RULE)
    rule["Contribution"]["Filters"].append(condition)
    with pytest.raises(TemplateError, match="unknown filters"):
        load(contributors(), rule=rule)
    with pytest.raises(TemplateError, match="RuleState must be ENABLED"):
        load(ALARM, state="DISABLED")


def test_lines_that_are_no_json_objects_are_skipped():
    assert read_lines('Serving on 8000\n{"a": 1}\n[1]\n"text"\n{broken\n\n') == [{"a": 1}]


def test_security_events_are_counted_by_name_and_reason():
    why = {"message": "fail", "security_event": {"status_detail": "why"}}
    lines: list[Line] = [why, {"message": "done", "security_event": {}}, {"message": "done"}]
    assert security_events(lines) == {("fail", "why"): 1, ("done", ""): 1}
    assert list(datapoints(lines)) == []
