"""Send the mails that are due."""


def send_due_mails() -> None:
    """Send the mails that are due."""
