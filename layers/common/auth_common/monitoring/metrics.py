"""Metrics in CloudWatch's Embedded Metric Format: a JSON line on stdout becomes a metric, without an API call.

``EphemeralMetrics``, because ``Metrics`` keeps its state on the class: with several functions in one process (tests) a
metric of one would be flushed under another's name.
"""

from typing import Final

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

NAMESPACE: Final = "SecureBackend"

_metrics: Final = EphemeralMetrics(namespace=NAMESPACE)


def count(name: str) -> None:
    """Count one occurrence of ``name`` in this request."""
    _metrics.add_metric(name=name, unit=MetricUnit.Count, value=1)


def flush(*, function: str) -> None:
    """Write what this request counted, with the function's name as a dimension. Nothing counted: nothing written."""
    if _metrics.metric_set:
        _metrics.add_dimension(name="function", value=function)
        _metrics.flush_metrics()
