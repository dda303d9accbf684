"""Fixtures for the tests of both ceremonies."""

import pytest

from tests.support.databases import Database
from tests.support.passkeys import Holder, enrol


@pytest.fixture
def holder(database: Database) -> Holder:
    """A user who has a passkey."""
    return enrol()
