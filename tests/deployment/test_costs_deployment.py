"""``Costs=small`` creates nothing that lacks its data, and ``MonthlyCostLimit`` reaches the topic."""

import json
import tomllib

import pytest

from tests.support.deployment import deployed, rejections, resources_of_type
from tests.support.documentation import blocks
from tests.support.runtime import PROJECT
from tools.docs.bills import SMALL as SMALL_BILL

pytestmark = [pytest.mark.deployment, pytest.mark.template]

SMALL = {"Costs": "small"}


def test_small_costs_switch_off_route_metrics_traces_and_insights():
    for parameters, is_on in (({}, True), (SMALL, False)):
        (stage,) = resources_of_type("AWS::ApiGateway::Stage", **parameters).values()
        assert {setting["MetricsEnabled"] for setting in stage["MethodSettings"]} == {is_on}
        assert stage["TracingEnabled"] is is_on
        types = {resource["Type"] for resource in deployed(**parameters).values()}
        assert ("AWS::CloudWatch::InsightRule" in types) is is_on


def test_small_costs_leave_out_only_the_alarms_without_data():
    before, after = (resources_of_type("AWS::CloudWatch::Alarm", **parameters) for parameters in ({}, SMALL))
    assert before.keys() - after.keys() == {"CredentialStuffingAlarm", "PasswordSprayingAlarm"}
    assert "INSIGHT_RULE_METRIC" not in json.dumps(after)
    # The metrics of API Gateway that remain have no dimension of a route.
    dimensions = {
        dimension["Name"]
        for alarm in after.values()
        if alarm.get("Namespace") == "AWS/ApiGateway"
        for dimension in alarm["Dimensions"]
    }
    assert dimensions == {"ApiName", "Stage"}


def test_documented_small_service_is_accepted_and_is_that_of_the_bill():
    (block,) = blocks((PROJECT / "docs" / "deploy.md").read_text(), "toml")
    parameters = dict(each.split("=", 1) for each in tomllib.loads(block)["parameter_overrides"].split())
    assert rejections(**parameters) == set()
    assert parameters.items() >= SMALL_BILL.items()


@pytest.mark.parametrize("parameters", [{}, SMALL], ids=["full", "small"])
def test_dashboard_shows_exactly_the_alarms_and_rules_that_exist(parameters):
    (dashboard,) = resources_of_type("AWS::CloudWatch::Dashboard", **parameters).values()
    body = json.loads(dashboard["DashboardBody"])
    (alarms,) = [each["properties"]["alarms"] for each in body["widgets"] if each["type"] == "alarm"]
    assert sorted(alarms) == sorted(f"{name}.Arn" for name in resources_of_type("AWS::CloudWatch::Alarm", **parameters))
    assert ("INSIGHT_RULE_METRIC" in dashboard["DashboardBody"]) is (parameters != SMALL)


@pytest.mark.threat("logs-topic-open-to-strangers")
def test_cost_limit_notifies_the_topic_before_and_after_it_is_reached():
    assert "CostLimit" not in deployed()
    resources = deployed(MonthlyCostLimit="30")
    limit = resources["CostLimit"]["Properties"]
    assert limit["Budget"]["BudgetLimit"] == {"Amount": "30", "Unit": "USD"}
    sent = [
        (each["Notification"]["NotificationType"], each["Notification"]["Threshold"], each["Subscribers"])
        for each in limit["NotificationsWithSubscribers"]
    ]
    topic = [{"SubscriptionType": "SNS", "Address": "AlarmTopic"}]
    assert sent == [("ACTUAL", 80, topic), ("FORECASTED", 100, topic)]
    for document in (
        resources["AlarmTopicPolicy"]["Properties"]["PolicyDocument"],
        resources["AlarmsKey"]["Properties"]["KeyPolicy"],
    ):
        (statement,) = [s for s in document["Statement"] if s["Principal"] == {"Service": "budgets.amazonaws.com"}]
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}
    services = str(deployed()["AlarmTopicPolicy"]) + str(deployed()["AlarmsKey"])
    assert "budgets.amazonaws.com" not in services
