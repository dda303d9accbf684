"""Wake the sender at the end of a request that has queued mail, so that the mail need not wait for the schedule.

Lambda freezes an environment after its response, so a request cannot send in the background. On AWS it invokes the
sender asynchronously, after its transactions have committed. The local runtime runs the sender by itself after each
request. ``sam local`` can do neither, so the request sends before its response.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from auth_common.aws_calls import call_aws
from auth_common.errors import ServiceError
from auth_common.events.logger import logger
from auth_common.settings import runs_in_sam, settings

#: Whether this request wakes the sender: a list that is not empty. Outside a request, None.
_wanted: ContextVar[list[bool] | None] = ContextVar("wakes_sender", default=None)


def wake_sender() -> None:
    """Wake the sender at the end of this request. Outside a request, as in operators' commands, do nothing.

    ``queue_mail`` calls this function. A service calls it for an unknown address too, unless it queues a decoy.
    Otherwise the time of the response would reveal which addresses have an account.
    """
    wanted = _wanted.get()
    if wanted is not None:
        wanted.append(True)


@contextmanager
def waking_sender_afterwards() -> Iterator[None]:
    """Run the block, which handles a request, and then wake the sender if ``wake_sender`` was called.

    A failure is logged and changes no response, because the schedule runs the sender later.
    """
    wanted: list[bool] = []
    entered = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(entered)
    if wanted:
        try:
            _wake()
        except ServiceError as error:
            logger.warning("the sender of mails was not woken", extra={"error": repr(error.__cause__ or error)})


def _wake() -> None:
    if arn := settings().send_mail_arn:
        # One try, because the response waits for it. The schedule makes up for a failure.
        call_aws("lambda", "invoke", tries=1, FunctionName=arn, InvocationType="Event")
    elif runs_in_sam():
        from auth_common.mail.sender import send_due_mails  # noqa: PLC0415 - elsewhere, no request sends mail

        send_due_mails()
