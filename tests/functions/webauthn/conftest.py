"""Fixtures for the tests of both ceremonies."""

import pytest

from tests.support.databases import Database
from tests.support.factories import Account, sign_up
from tests.support.passkeys import Holder, enrol


@pytest.fixture
def account(database: Database) -> Account:
    """A user who has no passkey."""
    return sign_up()


@pytest.fixture
def holder(database: Database) -> Holder:
    """A user who has a passkey."""
    return enrol()
