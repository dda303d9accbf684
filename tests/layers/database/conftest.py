"""Fixtures for the database's tests."""

from pathlib import Path

import pytest

from tests.support.impostors import self_signed_certificate


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost, which is its own authority, with its key."""
    return self_signed_certificate(tmp_path)
