"""An operator's command, as the log and the audit log see it."""

import os
import pwd
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from auth_common.errors import ServiceError, StorageNotMounted
from auth_common.monitoring import request_context
from auth_common.monitoring.logger import logger
from auth_common.monitoring.request_context import RequestContext
from auth_common.settings import settings


@contextmanager
def operation(command: str) -> Iterator[None]:
    """Let security events in the block say which command they come from and who ran it; log lines go to stderr.

    Standard output is the command's own: what it exports may be another program's input.
    """
    handler = cast("Any", logger.registered_handler)  # a StreamHandler: Powertools makes no other
    entered = request_context.enter(RequestContext(function=command, operator=_user()))
    before = handler.stream
    handler.setStream(sys.stderr)
    try:
        with logger.append_context_keys(service=command):
            yield
    finally:
        request_context.leave(entered)
        handler.setStream(before)


def _user() -> str:
    """Return who runs this process, from the system and not from the environment, which says whatever one likes."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def reason(error: ServiceError) -> str:
    """Return why a command could not do its work, in words for who ran it."""
    if isinstance(error, StorageNotMounted):
        return f"there is no folder {settings().data_dir}: set DATA_DIR to the one that the service has"
    return str(error) or (f"{error.detail} ({error.__cause__})" if error.__cause__ else error.detail)
