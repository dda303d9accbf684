"""The reason for which a token of a session is rejected, if several reasons hold."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auth_common.sessions.validity import session_rejection_reason

pytestmark = pytest.mark.sessions

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
VALID: dict[str, Any] = {
    "now": NOW,
    "revoked_at": None,
    "expires_at": NOW + timedelta(seconds=1),
    "token_expired": False,
    "user_status": "active",
    "token_version": 3,
    "current_token_version": 3,
}
#: The arguments for which each reason holds. The first reason takes precedence over the next ones.
REASONS: dict[str, dict[str, Any]] = {
    "session_revoked": {"revoked_at": NOW},
    "session_expired": {"expires_at": NOW},
    "token_expired": {"token_expired": True},
    "user_not_active": {"user_status": "disabled"},
    "token_version_changed": {"current_token_version": 4},
}


def test_valid_session_has_no_rejection_reason():
    assert session_rejection_reason(**VALID) is None


@pytest.mark.parametrize("number", range(len(REASONS)), ids=list(REASONS))
def test_first_of_several_rejection_reasons_is_returned(number):
    """For example, disabling an account also raises its token version. The security team must read the cause."""
    arguments = dict(VALID)
    for change in list(REASONS.values())[number:]:
        arguments |= change
    assert session_rejection_reason(**arguments) == list(REASONS)[number]
