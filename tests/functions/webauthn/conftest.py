"""Fixtures for the tests of both WebAuthn ceremonies."""

import pytest

from tests.support.databases import Database
from tests.support.factories import Account, sign_up


@pytest.fixture
def account(database: Database) -> Account:
    """Return a user without a passkey."""
    return sign_up()
