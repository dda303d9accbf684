"""Metrics in CloudWatch's Embedded Metric Format: a JSON line on stdout becomes a metric, without an API call.

Each request has its own list of metrics, in a context variable. In a process with several functions or threads, as in
tests, a shared list would be written under the name of another function, or change while it is written.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from threading import Lock
from typing import Final

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

#: Defaults of POWERTOOLS_METRICS_NAMESPACE and POWERTOOLS_SERVICE_NAME, which Powertools reads.
NAMESPACE: Final = "SecureBackend"
SERVICE: Final = "secure-backend"

#: The names that this request has counted. A name that was counted twice is in the list twice.
_current: ContextVar[list[str] | None] = ContextVar("counted", default=None)
#: Held while a line is written, because all threads share the object that writes it.
_writing: Final = Lock()


def count(name: str) -> None:
    """Add 1 to the metric ``name`` of this request. Outside a request, as in operators' commands, do nothing."""
    counted = _current.get()
    if counted is not None:
        counted.append(name)


@contextmanager
def collect_and_write(function: str) -> Iterator[None]:
    """Write the metrics that the block has counted, after the block. Write no line if it has counted none.

    The service is the only dimension, so an alarm watches one series per stage for all functions. ``function`` is a
    property, which CloudWatch Logs Insights shows without a series of its own.
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
    with _writing:
        metrics = _metrics()
        try:
            metrics.add_metadata(key="function", value=function)
            for name in names:
                metrics.add_metric(name=name, unit=MetricUnit.Count, value=1)
            metrics.flush_metrics()
        finally:
            # After an error, the next line would have the metrics of this one.
            metrics.clear_metrics()


@lru_cache(maxsize=1)
def _metrics() -> EphemeralMetrics:
    """Return the object that writes all lines. It is made once, because making it takes as long as writing a line."""
    metrics = EphemeralMetrics()
    metrics.namespace = metrics.namespace or NAMESPACE
    metrics.service = metrics.service or SERVICE
    return metrics
