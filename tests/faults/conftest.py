"""Fixtures of the fault tests."""

from types import SimpleNamespace

import botocore.config
import botocore.endpoint
import pytest

from tests.support.databases import Database
from tests.support.factories import Account, sign_up


@pytest.fixture
def impatient_boto(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give boto3 timeouts of 0.2 seconds, and no pauses between its three attempts."""
    config = botocore.config.Config

    def impatient(**options: object) -> botocore.config.Config:
        return config(**options | {"connect_timeout": 0.2, "read_timeout": 0.2})

    monkeypatch.setattr(botocore.config, "Config", impatient)
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None))


@pytest.fixture
def account(database: Database) -> Account:
    """A user who has logged in."""
    return sign_up()
