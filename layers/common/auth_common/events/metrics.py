"""Metrics in CloudWatch's Embedded Metric Format: a JSON line on stdout becomes a metric, without an API call.

Each request has a set of its own, in a context variable: where one process serves several functions or threads (tests),
a shared one would be written under another function's name, or change while it is written.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

#: Where POWERTOOLS_METRICS_NAMESPACE and POWERTOOLS_SERVICE_NAME, which Powertools reads, say nothing else.
NAMESPACE: Final = "SecureBackend"
SERVICE: Final = "secure-backend"

#: The names that this request has counted, each as often as it was.
_current: ContextVar[list[str] | None] = ContextVar("counted", default=None)


def count(name: str) -> None:
    """Count one occurrence of ``name`` in this request. Outside a request (the operators' tools) nobody counts."""
    counted = _current.get()
    if counted is not None:
        counted.append(name)


@contextmanager
def written_for(function: str) -> Iterator[None]:
    """Write what the block counted when it is over. Nothing counted: no line.

    The service is the only dimension, so that an alarm watches one series a stage, whichever function counted.
    ``function`` is a property: CloudWatch Logs Insights sees it, and it makes no series of its own.
    """
    counted: list[str] = []
    entered = _current.set(counted)
    try:
        yield
    finally:
        _current.reset(entered)
        if counted:
            _write(counted, function)


def _write(names: list[str], function: str) -> None:
    # Made when there is something to write: most requests (a read, a good token) count nothing.
    metrics = EphemeralMetrics()
    metrics.namespace = metrics.namespace or NAMESPACE
    metrics.service = metrics.service or SERVICE
    metrics.add_metadata(key="function", value=function)
    for name in names:
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=1)
    metrics.flush_metrics()
