"""Read security events and metrics (EMF) from the functions' log lines, as CloudWatch does."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Metric:
    """The identity of a metric."""

    namespace: str
    name: str
    #: Pairs of name and value.
    dimensions: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Datapoint:
    """One value of a metric. ``time`` is in milliseconds since the epoch."""

    metric: Metric
    time: int
    value: float


def read_lines(text: str) -> list[Line]:
    """Return the JSON objects in a log. Skip other lines, such as tracebacks and the runtime's own messages."""
    documents: list[Line] = []
    for line in text.splitlines():
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict):
            documents.append(document)
    return documents


def datapoints(lines: Iterable[Line]) -> Iterator[Datapoint]:
    """Yield the values of metrics in the lines, which have CloudWatch's Embedded Metric Format (EMF)."""
    for line in lines:
        emf = line.get("_aws", {})
        for definition in emf.get("CloudWatchMetrics", ()):
            for dimensions in definition["Dimensions"]:
                for described in definition["Metrics"]:
                    metric = Metric(
                        definition["Namespace"],
                        described["Name"],
                        frozenset((dimension, line[dimension]) for dimension in dimensions),
                    )
                    values = line[described["Name"]]
                    for value in values if isinstance(values, list) else [values]:
                        yield Datapoint(metric, emf["Timestamp"], value)


def security_events(lines: Iterable[Line]) -> Counter[tuple[str, str]]:
    """Return the number of security events by name and reason. The reason is "" if an event has none."""
    return Counter(
        (line["message"], line["security_event"].get("status_detail", "")) for line in lines if "security_event" in line
    )
