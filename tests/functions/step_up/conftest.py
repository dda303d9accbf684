"""Fixtures of the tests of step-ups."""

import pytest

from tests.support.factories import refresh
from tests.support.passkeys import PasskeyHolder


@pytest.fixture
def token(holder: PasskeyHolder) -> str:
    """The access token of a session that was opened with a passkey. The client has no step-up token for it."""
    token: str = refresh(holder.log_in().json["refresh_token"]).json["access_token"]
    return token
