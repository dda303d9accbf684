"""Requests of members of the security team, who read the audit log."""

from typing import Any

from auth_common.accounts.administration import change_role
from tests.support.factories import call_as, sign_up
from tests.support.functions import Response
from tests.support.passkeys import enrol

AUDITOR_EMAIL = "auditor@example.com"


def auditor_token(role: str = "security", email: str = AUDITOR_EMAIL) -> str:
    """Register a user with ``role``, and return the access token of a login with password and passkey."""
    holder = enrol(sign_up(email))
    change_role(email, role)
    token: str = holder.log_in().json["access_token"]
    return token


def read_events(token: str, **query: str) -> Response:
    """Read a page of the audit log."""
    return call_as(token, "audit", "GET", "/audit/events", query=query)


def read_summary(token: str, **query: str) -> Response:
    """Read the summary of the audit log."""
    return call_as(token, "audit", "GET", "/audit/summary", query=query)


def read_all_events(token: str, **query: str) -> list[dict[str, Any]]:
    """Read all pages of the audit log, and return the events, newest first."""
    events: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = read_events(token, **query, **({"cursor": cursor} if cursor else {}))
        assert page.status == 200, page.text
        events.extend(page.json["items"])
        cursor = page.json["next_cursor"]
        if cursor is None:
            return events
