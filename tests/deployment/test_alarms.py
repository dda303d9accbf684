"""Alarms, dashboard, saved queries and logs of the template agree with the code and with the runbooks.

CloudFormation does not notice such errors. tests/tools/attacks/test_campaign.py checks which attacks raise the alarms.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from uuid import UUID

import pytest

from auth_common.audit_log.writer import WRITE_FAILURE_METRIC
from auth_common.events.catalogue import CATALOGUE
from auth_common.events.client_ip import PROXY_REJECTED_METRIC
from auth_common.events.ocsf import to_ocsf
from auth_common.events.recorded_event import RecordedEvent
from auth_common.events.request_context import RequestContext
from auth_common.events.security_events import SecurityEvent
from auth_common.mail.sender import OVERDUE_METRIC
from local_runtime.cloudformation import Intrinsics, read_template
from tests.support.runtime import PROJECT
from tools.attacks.alarms import load_alarms

pytestmark = [pytest.mark.deployment, pytest.mark.events]

TEMPLATE = PROJECT / "template.yaml"
RUNBOOKS = PROJECT / "docs" / "runbooks"
INDEX = RUNBOOKS / "README.md"

OUR_METRICS = {*SecurityEvent, WRITE_FAILURE_METRIC, OVERDUE_METRIC, PROXY_REJECTED_METRIC}
NAMED_BY_AWS = re.compile(r"AWS/\w+")


@cache
def intrinsics() -> Intrinsics:
    return Intrinsics(read_template(TEMPLATE))


@cache
def resources(kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: intrinsics().resolve(resource.get("Properties") or {})
        for name, resource in intrinsics().resources.items()
        if resource["Type"] == kind
    }


@cache
def function_defaults() -> dict[str, Any]:
    resolved: dict[str, Any] = intrinsics().resolve(read_template(TEMPLATE)["Globals"]["Function"])
    return resolved


ALARMS = resources("AWS::CloudWatch::Alarm")
RULES = resources("AWS::Events::Rule")
QUERIES = resources("AWS::Logs::QueryDefinition")
each_alarm = pytest.mark.parametrize("alarm", ALARMS.values(), ids=ALARMS)
#: The name of the runbook in the description of an alarm or a rule.
PAGE = re.compile(r"What to do is in docs/runbooks/([a-z-]+)\.md\.")


def runbook_of(description: str) -> str:
    match = PAGE.search(description)
    assert match, description
    return match[1]


def runbooks() -> list[str]:
    """Return the runbook of each alarm and of each EventBridge rule, which notifies the topic without an alarm."""
    descriptions = [
        *(alarm["AlarmDescription"] for alarm in ALARMS.values()),
        *(rule["Description"] for rule in RULES.values()),
    ]
    return [runbook_of(description) for description in descriptions]


def thresholds_in_index() -> dict[str, str]:
    """Return the threshold of each alarm in the index of runbooks, by the runbook's name."""
    rows = re.findall(r"^\| \[([a-z-]+)\]\(\1\.md\) \| [^|]+ \| (\d+) \|$", INDEX.read_text(), re.MULTILINE)
    return dict(rows)


def test_each_alarm_has_its_own_runbook_in_the_index():
    assert sorted(runbooks()) == sorted(set(runbooks())) == sorted(thresholds_in_index())
    linked = set(re.findall(r"\]\(([a-z-]+\.md)\)", INDEX.read_text()))
    assert linked == {page.name for page in RUNBOOKS.glob("*.md")} - {INDEX.name}
    assert {f"{page}.md" for page in runbooks()} <= linked


def watched_calls(pattern: dict[str, Any]) -> set[str]:
    """Return the names of the calls that a rule matches, without the dates that Lambda adds to its names."""
    names = [name for part in (pattern, *pattern.get("$or", ())) for name in part.get("eventName", ())]
    return {name if isinstance(name, str) else name["prefix"] for name in names}


@pytest.mark.threat("secrets-changed", "signing-key-untraced-change", "deployment-replaced-code")
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_runbook_of_a_rule_names_all_watched_calls(rule):
    shown = (RUNBOOKS / f"{runbook_of(rule['Description'])}.md").read_text()
    calls = watched_calls(rule["EventPattern"]["detail"])
    assert calls
    assert [call for call in calls if f"`{call}`" not in shown] == []
    assert f"docs/runbooks/{runbook_of(rule['Description'])}.md" in str(rule["Targets"])


@each_alarm
def test_alarm_matches_its_runbook_and_notifies_the_topic(alarm):
    """Its name and threshold are those of the index of runbooks, and missing data does not raise it."""
    runbook = runbook_of(alarm["AlarmDescription"])
    assert alarm["AlarmName"] == f"local-{runbook}"
    assert thresholds_in_index()[runbook] == str(alarm["Threshold"])
    assert (alarm["AlarmActions"], alarm["TreatMissingData"]) == (["AlarmTopic"], "notBreaching")
    assert alarm.get("ActionsEnabled", True) is True
    assert len(list(metrics_of(alarm))) <= 10  # CloudWatch accepts at most 10.


def test_each_rule_notifies_the_topic():
    assert {target["Arn"] for rule in RULES.values() for target in rule["Targets"]} == {"AlarmTopic"}
    assert [name for name, rule in RULES.items() if len(rule["Targets"]) != 1] == []


def test_alarms_left_to_aws_use_only_metrics_of_aws():
    alarms = load_alarms(TEMPLATE)
    assert len(alarms.evaluated) + len(alarms.on_aws_metrics) == len(ALARMS)
    of_functions = {"function-errors", "function-throttles", "authorizer-failed", "cleanup-failed"}
    assert set(alarms.on_aws_metrics) == {
        *("server-errors", "step-up-function-failed", "preflight-function-failed"),
        *("send-mail-function-failed", "recovery-functions-failed", "oauth-functions-failed"),
        *of_functions,
    }


def metrics_of(alarm: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "MetricName" in alarm:
        yield alarm
    for query in alarm.get("Metrics", ()):
        if "MetricStat" in query:
            yield query["MetricStat"]["Metric"]


def dashboards() -> list[dict[str, Any]]:
    return [json.loads(board["DashboardBody"]) for board in resources("AWS::CloudWatch::Dashboard").values()]


def widgets(kind: str) -> list[dict[str, Any]]:
    return [widget["properties"] for board in dashboards() for widget in board["widgets"] if widget["type"] == kind]


def named_metrics() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield namespace, name and dimensions of each metric in an alarm or a dashboard."""
    for alarm in ALARMS.values():
        for metric in metrics_of(alarm):
            dimensions = {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]}
            yield metric["Namespace"], metric["MetricName"], dimensions
    for widget in widgets("metric"):
        for namespace, name, *rest in (row for row in widget["metrics"] if isinstance(row[0], str)):
            texts = [part for part in rest if isinstance(part, str)]
            yield namespace, name, dict(zip(texts[::2], texts[1::2], strict=True))


def test_named_metrics_are_emitted_by_the_service_or_aws():
    variables = function_defaults()["Environment"]["Variables"]
    ours = variables["POWERTOOLS_METRICS_NAMESPACE"], {"service": variables["POWERTOOLS_SERVICE_NAME"]}
    (api,) = resources("AWS::Serverless::Api").values()
    gateway = {"ApiName": api["Name"], "Stage": api["StageName"]}
    named = list(named_metrics())
    assert {"AWS/ApiGateway", ours[0]} <= {namespace for namespace, _, _ in named}
    for namespace, name, dimensions in named:
        if namespace == "AWS/ApiGateway":
            assert dimensions == gateway
        elif not NAMED_BY_AWS.fullmatch(namespace):
            assert ((namespace, dimensions), name in OUR_METRICS) == (ours, True), name


def test_each_function_is_watched_for_errors_and_throttles():
    watched = {
        (name, dimensions["FunctionName"]) for _, name, dimensions in named_metrics() if "FunctionName" in dimensions
    }
    # A deployment calls these two functions, and fails if they fail.
    functions = resources("AWS::Serverless::Function").keys() - {"MigrateFunction", "PublishKeysFunction"}
    assert watched == {(metric, function) for metric in ("Errors", "Throttles") for function in functions}


def test_dashboard_shows_each_alarm_and_its_widgets_fit():
    """CloudWatch moves widgets that overlap, and rejects widgets outside its 24 columns."""
    (widget,) = widgets("alarm")
    assert sorted(widget["alarms"]) == sorted(f"{name}.Arn" for name in ALARMS)
    cells = [
        (x, y)
        for board in dashboards()
        for widget in board["widgets"]
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert len(cells) == len(set(cells))
    assert {x for x, _ in cells} == set(range(24))


@pytest.mark.asvs("14.2.7", "16.2.3")
@pytest.mark.threat("logs-deleted")
def test_functions_share_one_encrypted_log_with_retention():
    assert function_defaults()["LoggingConfig"] == {"LogGroup": "FunctionLogs", "LogFormat": "Text"}
    overridden = [name for name, p in resources("AWS::Serverless::Function").items() if "LoggingConfig" in p]
    assert overridden == []
    for name, group in resources("AWS::Logs::LogGroup").items():
        assert int(group["RetentionInDays"]) >= 365, name
        assert group["KmsKeyId"] == "LogsKey.Arn", name
        assert intrinsics().resources[name]["DeletionPolicy"] == "RetainExceptOnCreate", name
    assert intrinsics().resources["LogsKey"]["DeletionPolicy"] == "RetainExceptOnCreate"


def statements(key: str) -> dict[str, dict[str, Any]]:
    return {
        s["Principal"].get("Service", "account"): s for s in resources("AWS::KMS::Key")[key]["KeyPolicy"]["Statement"]
    }


@pytest.mark.threat("deployment-weakened-template", "logs-leaked-secrets")
def test_kms_keys_rotate_and_allow_only_the_needed_services():
    keys = resources("AWS::KMS::Key")
    assert [name for name, key in keys.items() if key.get("EnableKeyRotation") is not True] == ["SigningKeyBlue"]
    # KMS does not rotate asymmetric keys. Another key replaces this one (docs/runbooks/rotate-signing-key.md).
    assert keys["SigningKeyBlue"]["KeySpec"] == "ECC_NIST_P256"
    logs = statements("LogsKey")
    assert logs.keys() == {"account", "logs.us-east-1.amazonaws.com"}
    groups = [f"arn:aws:logs:us-east-1:123456789012:log-group:{name}" for name in ("local-*", "aws-waf-logs-local-*")]
    condition = logs["logs.us-east-1.amazonaws.com"]["Condition"]
    assert condition == {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}}
    assert statements("AlarmsKey").keys() == {"account", "cloudwatch.amazonaws.com", "events.amazonaws.com"}


@pytest.mark.threat("logs-topic-open-to-strangers")
def test_alarm_topic_is_encrypted_and_accepts_only_alarms():
    (topic,) = resources("AWS::SNS::Topic").values()
    assert topic["KmsMasterKeyId"] == "AlarmsKey"
    (policy,) = resources("AWS::SNS::TopicPolicy").values()
    allowed = [s["Principal"] for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
    assert allowed == [{"Service": "cloudwatch.amazonaws.com"}, {"Service": "events.amazonaws.com"}]


def test_email_address_for_alarms_is_optional():
    assert resources("AWS::SNS::Subscription") == {}
    document = read_template(TEMPLATE)
    document["Parameters"]["AlarmEmail"]["Default"] = "security@example.com"
    subscription = Intrinsics(document).resources["AlarmEmailSubscription"]
    assert Intrinsics(document).resolve(subscription["Properties"])["Endpoint"] == "security@example.com"


def query_name(query: dict[str, Any]) -> str:
    stack, _, name = query["Name"].partition("/")
    assert stack == "local"
    return str(name)


def test_runbooks_list_all_queries_and_name_only_existing_ones():
    queries = [query_name(query) for query in QUERIES.values()]
    rows = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \|$", INDEX.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(queries)
    text = "\n".join(page.read_text() for page in RUNBOOKS.glob("*.md"))
    named = set(re.findall(r"(?:query|queries|insight rule) `([\w-]+)`", text))
    rules = {rule["RuleName"].removeprefix("local-") for rule in resources("AWS::CloudWatch::InsightRule").values()}
    assert named
    assert named <= rules | {*queries}


def paths(document: dict[str, Any], prefix: str) -> Iterator[str]:
    for name, value in document.items():
        yield f"{prefix}.{name}"
        if isinstance(value, dict):
            yield from paths(value, f"{prefix}.{name}")


@cache
def paths_of_security_events() -> frozenset[str]:
    """Return the path of every field that a security event can have, such as ``security_event.time``."""
    request = RequestContext("id", "function", "GET", "/path", "192.0.2.1", "agent")
    return frozenset(
        path
        for event, entry in CATALOGUE.items()
        for user_id in (None, UUID(int=1))
        for path in paths(
            to_ocsf(
                RecordedEvent(
                    name=event,
                    time=0,
                    user_id=user_id,
                    reason="reason",
                    request=request,
                    detail=dict.fromkeys(entry.fields, "value"),
                )
            ),
            "security_event",
        )
    )


def test_queries_and_dashboard_name_existing_fields_and_events():
    texts = [
        *(query["QueryString"] for query in QUERIES.values()),
        *(rule["RuleBody"] for rule in resources("AWS::CloudWatch::InsightRule").values()),
        *(widget["query"] for widget in widgets("log")),
    ]
    asked = {field for text in texts for field in re.findall(r"security_event(?:\.\w+)+", text)}
    assert asked
    assert asked - paths_of_security_events() == set()
    for query in QUERIES.values():
        assert query["LogGroupNames"] == ["FunctionLogs"]
        named = re.findall(r'message (?:=|in) \[?((?:"\w+"(?:, )?)+)', query["QueryString"])
        assert set(re.findall(r"\w+", " ".join(named))) <= set(SecurityEvent), query["QueryString"]
