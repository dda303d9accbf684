"""What a notice tells a user about an event: when, and from which client IP."""

from datetime import UTC, datetime

from auth_common.events import request_context


def event_variables() -> dict[str, str]:
    """Return the variables of a notice about an event of the current request.

    The texts leave out a line whose variable is empty.
    """
    return {
        "time": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": "",
        "client_ip": request_context.get().source_ip,
        "undo_token": "",
    }
