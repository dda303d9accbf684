"""Fixtures for tests of the database."""

from pathlib import Path

import pytest

from tests.support.impostors import self_signed_certificate


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a self-signed certificate for localhost, with its key."""
    return self_signed_certificate(tmp_path)


@pytest.fixture
def _trusted_schema() -> None:
    """Let the service check the schema at its start, as in the stage ``local``."""
