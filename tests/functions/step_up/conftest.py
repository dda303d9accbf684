"""Fixtures of the tests of step-ups."""

import pytest

from tests.support.databases import Database
from tests.support.factories import refresh
from tests.support.passkeys import PasskeyHolder, enrol


@pytest.fixture
def holder(database: Database) -> PasskeyHolder:
    """A user who has a passkey."""
    return enrol()


@pytest.fixture
def token(holder: PasskeyHolder) -> str:
    """The access token of a session that was opened with a passkey. The client has no step-up token for it."""
    token: str = refresh(holder.log_in().json["refresh_token"]).json["access_token"]
    return token
