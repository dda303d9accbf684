"""``make docs``: the numbers of resources in docs/deploy.md, from template.yaml.

A comment after a number names what it counts: ``21<!-- functions -->``.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from local_runtime.cloudformation import Intrinsics
from tools.template.deployed_template import with_defaults

_NUMBER: Final = re.compile(r"[\d.]+<!-- (?P<name>[a-z-]+) -->")
#: A deployment with everything that costs by the month in it.
_DEPLOYMENT: Final = {"Stage": "prod", "MailFrom": "no-reply@example.com"}
#: AWS charges each month for each metric that an alarm reads (list price of us-east-1, November 2026).
_DOLLARS_FOR_A_METRIC: Final = 0.10


def with_counts(page: str) -> str:
    """Return the page with each number that has a comment replaced.

    Raises:
        KeyError: the comment names nothing that is counted.

    """
    counts = _counts()
    return _NUMBER.sub(lambda found: f"{counts[found['name']]}<!-- {found['name']} -->", page)


def _counts() -> Mapping[str, str]:
    resources = Intrinsics(with_defaults(_DEPLOYMENT)).resources.values()
    functions, roles, alarms = (
        [each["Properties"] for each in resources if each["Type"] == kind]
        for kind in ("AWS::Serverless::Function", "AWS::IAM::Role", "AWS::CloudWatch::Alarm")
    )
    # SAM makes a role for each schedule.
    schedules = [
        event
        for function in functions
        for event in function.get("Events", {}).values()
        if event["Type"] == "ScheduleV2"
    ]
    metrics = sum(map(_metrics, alarms))
    return {
        "functions": str(len(functions)),
        "published-functions": str(sum("AutoPublishAlias" in function for function in functions)),
        "roles": str(len(roles) + len(schedules)),
        "schedules": str(len(schedules)),
        "alarm-metrics": str(metrics),
        "alarm-dollars": f"{metrics * _DOLLARS_FOR_A_METRIC:.2f}",
    }


def _metrics(alarm: Mapping[str, Any]) -> int:
    """Return how many metrics an alarm reads. One on an Insight rule has an expression, and reads the rule's metric."""
    return sum("MetricStat" in query for query in alarm.get("Metrics", ())) or 1
