"""What the faults of AWS's services share."""

from types import SimpleNamespace

import botocore.endpoint
import pytest

from auth_common.security import aws_calls


@pytest.fixture
def impatient_boto(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boto3 wait less for an answer, and not at all between its three tries."""
    monkeypatch.setattr(aws_calls, "_TIMEOUT", 0.2)
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None))
