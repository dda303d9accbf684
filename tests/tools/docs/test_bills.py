"""The bills in docs/deploy.md have the right quantities of the template's resources. The file itself is checked too."""

import datetime as dt
import re

import pytest

from tests.support.deployment import deployed
from tools.docs import bills
from tools.docs.bills import FREE, FULL, IDLE, LINES, PRICED, SMALL, THOUSAND_USERS, Stack, Usage, bill, prices, total

pytestmark = pytest.mark.docs


def quantities(parameters, usage=IDLE):
    return {line.name: quantity for line, (quantity, _) in bill(parameters, usage).items() if quantity}


def test_small_service_costs_ten_dollars_idle_and_twenty_in_use():
    assert total(SMALL, IDLE) <= 12
    assert total(SMALL, THOUSAND_USERS) <= 22
    assert total(FULL, THOUSAND_USERS) > 2 * total(SMALL, THOUSAND_USERS)


def test_small_costs_have_no_route_metrics_traces_or_insights():
    expensive = {"Metrics of routes", "X-Ray", "Contributor Insights"}
    assert quantities(FULL, THOUSAND_USERS).keys() >= expensive
    assert quantities({**FULL, "Costs": "small"}, THOUSAND_USERS).keys() & expensive == set()


@pytest.mark.deployment
@pytest.mark.template
@pytest.mark.parametrize("parameters", [SMALL, FULL, {**FULL, **bills.OPTIONS["`WebAcl=off`"]}])
def test_quantities_are_those_of_the_translated_template(parameters):
    resources = list(deployed(**parameters).values())

    def of_type(kind):
        return [each["Properties"] for each in resources if each["Type"] == kind]

    found = quantities(parameters)
    assert found["KMS, keys"] == len(of_type("AWS::KMS::Key"))
    assert found["Secrets Manager, secrets"] == len(of_type("AWS::SecretsManager::Secret"))
    assert found.get("Firewall, rules", 0) == sum(len(acl["Rules"]) for acl in of_type("AWS::WAFv2::WebACL"))
    # An alarm names a metric itself, by MetricStat, or by one insight rule.
    metrics = str(of_type("AWS::CloudWatch::Alarm"))
    assert found["Alarms, by the metrics that they read"] == len(
        re.findall(r"'MetricName': |INSIGHT_RULE_METRIC", metrics)
    )


def test_startup_costs_for_each_published_function():
    published = Stack({"Startup": "snapstart"}).snapshots()
    assert published > 10
    assert Stack({"Startup": "provisioned", "ProvisionedEnvironments": "2"}).waiting_environments() == 2 * published
    assert Stack({}).snapshots() == Stack({}).waiting_environments() == 0


def test_usage_counts_each_kind_of_request():
    usage = Usage(logins=1_000_000, refreshes=3_000_000, others=10_000_000)
    found = quantities({"Stage": "prod", "ProxyLocks": "blue", **bills.OPTIONS["`WebAcl=off`"]}, usage)
    assert found["KMS, signatures"] == 4_000_000
    assert found["API Gateway"] == 14_000_000
    # Each request with a token calls the authorizer too.
    assert found["Lambda, calls"] == 24_000_000
    assert found["Logs, written"] == pytest.approx(23.1)
    # One request of each second, and 5 % of the rest.
    assert found["X-Ray"] == pytest.approx(3_200_000, rel=0.01)


def test_resource_of_an_unknown_type_is_an_error(monkeypatch):
    monkeypatch.setattr(bills, "PRICED", PRICED - {"AWS::KMS::Key"})
    with pytest.raises(LookupError, match="AWS::KMS::Key"):
        bills.with_bills("")


def test_each_price_has_a_source_and_a_date_and_is_used():
    assert PRICED.isdisjoint(FREE)
    assert {line.price for line in LINES} == prices().keys()
    for name, price in prices().items():
        assert price.source.startswith("https://aws.amazon.com/"), name
        assert dt.datetime.strptime(price.checked, "%Y-%m").replace(tzinfo=dt.UTC) <= dt.datetime.now(dt.UTC), name
