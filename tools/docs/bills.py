"""``make docs``: the monthly bills in docs/deploy.md, from the resources of template.yaml and docs/prices.toml.

A bill has what the stack contains, such as keys and alarms, and what its users cause, such as signatures. A resource of
a type that this module does not know is an error, so that a new one cannot be missing from the bills.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from auth_common.audit_log.writer import WRITE_FAILURE_METRIC
from auth_common.events.security_events import SecurityEvent
from auth_common.mail.sender import OVERDUE_METRIC
from local_runtime.cloudformation import Intrinsics, read_template
from tools.docs.marked_parts import table, with_part

PROJECT: Final = Path(__file__).parents[2]

#: Types of resources that cost something, by themselves or by their use.
PRICED: Final = frozenset(
    {
        *("AWS::KMS::Key", "AWS::SecretsManager::Secret", "AWS::CloudWatch::Alarm", "AWS::CloudWatch::InsightRule"),
        *("AWS::WAFv2::WebACL", "AWS::Serverless::Function", "AWS::Serverless::Api", "AWS::DSQL::Cluster"),
        *("AWS::CloudFront::Distribution", "AWS::CloudFront::Function", "AWS::Logs::LogGroup"),
        *("AWS::Backup::BackupPlan", "AWS::Logs::SubscriptionFilter"),
    }
)
#: Types that cost nothing here: the first three dashboards and the first two cost limits of an account are free, pages
#: are some megabytes in S3, and messages to the topic are few.
FREE: Final = frozenset(
    {
        *("AWS::IAM::Role", "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::SecretsManager::ResourcePolicy"),
        *("AWS::Serverless::LayerVersion", "Custom::Schema", "Custom::PublicKeys"),
        *("AWS::ApiGateway::Account", "AWS::ApiGateway::BasePathMapping", "AWS::ApiGateway::DomainName"),
        *("AWS::WAFv2::LoggingConfiguration", "AWS::WAFv2::WebACLAssociation", "AWS::Route53::RecordSet"),
        *("AWS::CloudFront::CachePolicy", "AWS::CloudFront::OriginAccessControl"),
        *("AWS::CloudFront::OriginRequestPolicy", "AWS::CloudFront::ResponseHeadersPolicy"),
        *("AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::Logs::QueryDefinition", "AWS::Logs::ResourcePolicy"),
        *("AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "AWS::SNS::Subscription", "AWS::Events::Rule"),
        *("AWS::CloudWatch::Dashboard", "AWS::Budgets::Budget"),
        *("AWS::Backup::BackupVault", "AWS::Backup::BackupSelection"),
        *("AWS::SES::ConfigurationSet", "AWS::SES::ConfigurationSetEventDestination", "AWS::SES::EmailIdentity"),
    }
)
_SECONDS_IN_A_MONTH: Final = 730 * 3600
#: The memory of a function (MemorySize in template.yaml) in GB.
_GB: Final = 1769 / 1024
#: Months that the log and the audit records are kept.
_MONTHS_KEPT: Final = 13


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What users do in a month. The figures of a request are those of docs/scaling.md, or assumed there."""

    logins: int = 0
    refreshes: int = 0
    #: Requests with an access token. Each of them calls the authorizer, as if it had no cache.
    others: int = 0
    #: New environments of functions that read secrets.
    cold_starts: int = 0
    #: Metrics of the service that are counted in each hour. A metric costs for the hours in which it is counted.
    metrics: int = 0
    #: Routes that are used in each hour.
    routes: int = 0

    @property
    def requests(self) -> int:
        """Return the number of all requests."""
        return self.logins + self.refreshes + self.others

    @property
    def lambda_seconds(self) -> float:
        """Return the time of functions and authorizer in GB-seconds."""
        return _GB * (0.4 * self.logins + 0.03 * self.refreshes + 0.012 * self.others)

    @property
    def log_gb(self) -> float:
        """Return the log lines of a month in GB: those of the functions, of Lambda and of the gateway."""
        return (3.9 * self.logins + 2.4 * self.refreshes + 1.2 * self.others) / 1e6

    @property
    def database_gb(self) -> float:
        """Return the size of the database in GB: audit records with their indexes, sessions and tokens."""
        return (1.1 * _MONTHS_KEPT * (2 * self.logins + self.refreshes) + 2 * self.logins) / 1e6


ALL_METRICS: Final = len({*SecurityEvent, WRITE_FAILURE_METRIC, OVERDUE_METRIC})
IDLE: Final = Usage()
#: 1,000 users who log in 20 times a month. A session has three refreshes and ten requests.
THOUSAND_USERS: Final = Usage(logins=20_000, refreshes=60_000, others=200_000, cold_starts=5_000, metrics=15, routes=20)
MILLION_LOGINS: Final = Usage(logins=1_000_000, cold_starts=50_000, metrics=ALL_METRICS, routes=1)
MILLION_SESSIONS: Final = Usage(
    logins=1_000_000, refreshes=3_000_000, others=10_000_000, cold_starts=50_000, metrics=ALL_METRICS, routes=20
)

SMALL: Final = {"Stage": "prod", "Costs": "small", "WebAcl": "off", "Backups": "off"}
FULL: Final = {"Stage": "prod"}
#: For the cost of a login. The price of backups depends on the size of the database and on how long they are kept.
WITHOUT_BACKUPS: Final = {**FULL, "Backups": "off"}
_PAGES: Final = {"PublicDomain": "x.example", "PagesCertificateArn": "arn", "ProxyLocks": "blue"}
#: Further parameters, and what they add to a month of the full stack without use.
OPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "`WebAcl=off`": {"WebAcl": "off"},
    "`Costs=small`": {"Costs": "small"},
    "`Backups=off`": {"Backups": "off"},
    "pages: `PagesCertificateArn` and `ProxyLocks=blue`": _PAGES,
    "a rotation of the signing key: `SigningKeys=blue+green`": {"SigningKeys": "blue+green"},
    "`Startup=snapstart`": {"Startup": "snapstart"},
    "`Startup=provisioned`": {"Startup": "provisioned"},
}


@dataclass(frozen=True, kw_only=True)
class Price:
    """A price of docs/prices.toml."""

    usd: float
    unit: str
    source: str
    checked: str
    per: int = 1


def prices() -> dict[str, Price]:
    """Return the prices by name."""
    data = tomllib.loads((PROJECT / "docs" / "prices.toml").read_text(encoding="utf-8"))
    return {name: Price(**row) for name, row in data.items()}


class Stack:
    """The resources of template.yaml with given values of parameters."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        """Read the template.

        Raises:
            LookupError: The template has no such parameter, or a resource of a type that is neither priced nor free.

        """
        document = read_template(PROJECT / "template.yaml")
        for name, value in parameters.items():
            document["Parameters"][name]["Default"] = value
        self._intrinsics = Intrinsics(document)
        unknown = {r["Type"] for r in document["Resources"].values()} - PRICED - FREE
        if unknown:
            message = f"tools/docs/bills.py: say what these resources cost: {', '.join(sorted(unknown))}"
            raise LookupError(message)

    def count(self, kind: str) -> int:
        """Return the number of resources of a type."""
        return sum(resource["Type"] == kind for resource in self._intrinsics.resources.values())

    def values_of(self, kind: str, name: str) -> list[Any]:
        """Return a property of the resources of a type that have it."""
        found = [r.get("Properties", {}) for r in self._intrinsics.resources.values() if r["Type"] == kind]
        return [self._intrinsics.resolve(properties[name]) for properties in found if name in properties]

    def alarm_metrics(self) -> int:
        """Return how many metrics the alarms read. Each of them costs as much as an alarm."""
        queries = self.values_of("AWS::CloudWatch::Alarm", "Metrics")
        counts = [sum("MetricStat" in query for query in of_alarm) for of_alarm in queries]
        return sum(max(1, count) for count in counts) + self.count("AWS::CloudWatch::Alarm") - len(counts)

    def firewall_rules(self) -> int:
        """Return the number of rules of the firewall."""
        return sum(len(rules) for rules in self.values_of("AWS::WAFv2::WebACL", "Rules"))

    def is_measured_by_route(self) -> bool:
        """Return whether the gateway counts metrics of each route."""
        return any(
            m["MetricsEnabled"] for each in self.values_of("AWS::Serverless::Api", "MethodSettings") for m in each
        )

    def is_traced(self) -> bool:
        """Return whether the gateway sends traces to X-Ray."""
        return any(self.values_of("AWS::Serverless::Api", "TracingEnabled"))

    def snapshots(self) -> int:
        """Return how many functions have a snapshot."""
        return self.values_of("AWS::Serverless::Function", "SnapStart").count({"ApplyOn": "PublishedVersions"})

    def waiting_environments(self) -> int:
        """Return how many environments wait for requests."""
        configured = self.values_of("AWS::Serverless::Function", "ProvisionedConcurrencyConfig")
        return sum(int(each["ProvisionedConcurrentExecutions"]) for each in configured if isinstance(each, dict))

    def backup_days(self) -> int:
        """Return how many daily backups are kept."""
        plans = self.values_of("AWS::Backup::BackupPlan", "BackupPlan")
        return sum(int(rule["Lifecycle"]["DeleteAfterDays"]) for plan in plans for rule in plan["BackupPlanRule"])


@dataclass(frozen=True)
class Line:
    """A line of a bill: how much of what is bought at which price."""

    name: str
    price: str
    quantity: Callable[[Stack, Usage], float]


def _traces(_: Stack, usage: Usage) -> float:
    """Return how many requests X-Ray samples: one in a second and 5 % of the rest."""
    sampled = min(usage.requests, _SECONDS_IN_A_MONTH)
    return sampled + 0.05 * (usage.requests - sampled)


def _if(present: Callable[[Stack], bool], quantity: Callable[[Stack, Usage], float]) -> Callable[[Stack, Usage], float]:
    return lambda stack, usage: quantity(stack, usage) if present(stack) else 0


def _has(kind: str) -> Callable[[Stack], bool]:
    return lambda stack: bool(stack.count(kind))


LINES: Final = (
    Line("KMS, keys", "kms_key", lambda stack, _: stack.count("AWS::KMS::Key")),
    Line("KMS, signatures", "kms_signature", lambda _, usage: usage.logins + usage.refreshes),
    Line("KMS, decrypting secrets", "kms_request", lambda _, usage: 2 * usage.cold_starts),
    Line("Secrets Manager, secrets", "secret", lambda stack, _: stack.count("AWS::SecretsManager::Secret")),
    Line("Secrets Manager, calls", "secret_request", lambda _, usage: 2 * usage.cold_starts),
    Line("Alarms, by the metrics that they read", "alarm_metric", lambda stack, _: stack.alarm_metrics()),
    Line("Contributor Insights", "insight_rule", lambda stack, _: stack.count("AWS::CloudWatch::InsightRule")),
    Line("Metrics of the service", "custom_metric", lambda _, usage: usage.metrics),
    Line("Metrics of routes", "custom_metric", _if(Stack.is_measured_by_route, lambda _, usage: 5 * usage.routes)),
    Line("X-Ray", "trace", _if(Stack.is_traced, _traces)),
    Line("Logs, written", "log_written", lambda _, usage: usage.log_gb),
    Line("Logs, kept", "log_kept", lambda _, usage: usage.log_gb / 5 * _MONTHS_KEPT),
    Line("Logs, copied", "log_copied", _if(_has("AWS::Logs::SubscriptionFilter"), lambda _, usage: usage.log_gb)),
    Line("API Gateway", "gateway_request", lambda _, usage: usage.requests),
    Line("Lambda, time", "lambda_second", lambda _, usage: usage.lambda_seconds),
    Line("Lambda, calls", "lambda_call", lambda _, usage: usage.requests + usage.others),
    Line("Lambda, snapshots", "snapshot_second", lambda stack, _: stack.snapshots() * _GB * _SECONDS_IN_A_MONTH),
    Line(
        "Lambda, waiting environments",
        "waiting_second",
        lambda stack, _: stack.waiting_environments() * _GB * _SECONDS_IN_A_MONTH,
    ),
    Line(
        "Aurora DSQL, work",
        "database_work",
        _if(
            _has("AWS::DSQL::Cluster"),
            lambda _, usage: usage.logins + 0.5 * usage.refreshes + 0.05 * usage.others,
        ),
    ),
    Line(
        "Aurora DSQL, storage",
        "database_storage",
        _if(_has("AWS::DSQL::Cluster"), lambda _, usage: usage.database_gb),
    ),
    Line("AWS Backup", "backup_storage", lambda stack, usage: stack.backup_days() * usage.database_gb),
    Line("Firewall", "firewall", lambda stack, _: stack.count("AWS::WAFv2::WebACL")),
    Line("Firewall, rules", "firewall_rule", lambda stack, _: stack.firewall_rules()),
    Line("Firewall, requests", "firewall_request", _if(_has("AWS::WAFv2::WebACL"), lambda _, usage: usage.requests)),
    Line(
        "CloudFront, requests",
        "cloudfront_request",
        _if(_has("AWS::CloudFront::Distribution"), lambda _, usage: usage.requests),
    ),
    Line(
        "CloudFront, its function",
        "cloudfront_call",
        _if(_has("AWS::CloudFront::Function"), lambda _, usage: usage.requests),
    ),
)


def bill(parameters: Mapping[str, str], usage: Usage) -> dict[Line, tuple[float, float]]:
    """Return the quantity and the US dollars of each line."""
    stack, of = Stack(parameters), prices()
    quantities = {line: line.quantity(stack, usage) for line in LINES}
    return {line: (n, n * of[line.price].usd / of[line.price].per) for line, n in quantities.items()}


def total(parameters: Mapping[str, str], usage: Usage) -> float:
    """Return the US dollars of a bill."""
    return sum(usd for _, usd in bill(parameters, usage).values())


def with_bills(page: str) -> str:
    """Return docs/deploy.md with its bills."""
    month = (
        ("Small, idle", SMALL, IDLE),
        ("Small, 1,000 users", SMALL, THOUSAND_USERS),
        ("Full, idle", FULL, IDLE),
        ("Full, 1,000 users", FULL, THOUSAND_USERS),
    )
    logins = (("Alone", WITHOUT_BACKUPS, MILLION_LOGINS), ("With use", WITHOUT_BACKUPS, MILLION_SESSIONS))
    idle = total(FULL, IDLE)
    options = ((option, f"{total({**FULL, **parameters}, IDLE) - idle:+.2f}") for option, parameters in OPTIONS.items())
    parts = {
        "monthly bills": _bills(month),
        "bill of a million logins": _bills(logins),
        "costs of options": table(("Parameter", "Adds to the full stack, idle"), options),
    }
    for name, part in parts.items():
        page = with_part(page, name, part)
    return page


def _bills(columns: Sequence[tuple[str, Mapping[str, str], Usage]]) -> str:
    bills = [bill(parameters, usage) for _, parameters, usage in columns]
    rows = [
        (line.name, _arithmetic(line, [each[line][0] for each in bills]), *(f"{each[line][1]:.2f}" for each in bills))
        for line in LINES
        if any(each[line][1] >= 0.005 for each in bills)  # noqa: PLR2004 - half a cent
    ]
    sums = (f"**{sum(usd for _, usd in each.values()):.2f}**" for each in bills)
    return table(("Line", "Arithmetic", *(name for name, _, _ in columns)), [*rows, ("**Sum**", "", *sums)])


def _arithmetic(line: Line, quantities: Sequence[float]) -> str:
    """Return such a text as ``38 or 40 metrics at $0.10``, with each quantity once."""
    price = prices()[line.price]
    shown = " or ".join(dict.fromkeys(_number(quantity) for quantity in quantities if quantity))
    unit = price.unit if shown == "1" or price.unit == "GB" else f"{price.unit}s"
    per = f" for {price.per:,}" if price.per > 1 else ""
    return f"{shown} {unit} at ${_dollars(price.usd)}{per}"


def _number(quantity: float) -> str:
    digits = 0 if quantity >= 100 or quantity == int(quantity) else 2  # noqa: PLR2004 - two digits of small numbers
    return f"{quantity:,.{digits}f}"


def _dollars(usd: float) -> str:
    return f"{usd:.2f}" if usd >= 0.01 and round(usd, 2) == usd else f"{usd:.10f}".rstrip("0")  # noqa: PLR2004 - a cent
