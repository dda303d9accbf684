"""What the functions write to standard output, read as CloudWatch reads it: security events and metrics (EMF)."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name in full."""

    namespace: str
    name: str
    #: Pairs of name and value.
    dimensions: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Datapoint:
    """One value of a metric. ``time`` in milliseconds since the epoch."""

    metric: Metric
    time: int
    value: float


def read_lines(text: str) -> list[Line]:
    """Return the JSON documents of a log. What is none (the runtime's own announcements, a traceback) is left out."""
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
    """Yield what CloudWatch would take from the lines in its Embedded Metric Format."""
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
    """Count the security events by name and reason ("" where there is none)."""
    return Counter(
        (line["message"], line["security_event"].get("status_detail", "")) for line in lines if "security_event" in line
    )
