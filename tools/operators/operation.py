"""An operator's command, as the log and the audit log see it."""

import io
import json
import os
import pwd
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final, Self, cast

from auth_common.errors import ServiceError, StorageNotMounted
from auth_common.events import request_context
from auth_common.events.logger import logger
from auth_common.events.request_context import RequestContext
from auth_common.settings import settings

#: Seconds between two messages about progress.
_PROGRESS_EVERY: Final = 0.2


def add_json_option(parser: ArgumentParser) -> None:
    """Let an operator ask for JSON on a terminal."""
    parser.add_argument("--json", action="store_true", help="answer in JSON, and write log lines to stderr as JSON")


@contextmanager
def operation(command: str, *, as_json: bool = False) -> Iterator[None]:
    """Let security events in the block say which command they come from and who ran it; log lines go to stderr.

    Standard output is the command's own: what it exports may be another program's input. On a terminal log lines would
    hide the answer, so the operator sees warnings only, in words.
    """
    handler = cast("Any", logger.registered_handler)  # a StreamHandler: Powertools makes no other
    entered = request_context.enter(RequestContext(function=command, operator=_user()))
    before = handler.stream
    handler.setStream(sys.stderr if as_json or not sys.stderr.isatty() else _Terminal())
    try:
        with logger.append_context_keys(service=command):
            yield
    finally:
        request_context.leave(entered)
        handler.setStream(before)


class _Terminal(io.StringIO):
    """Log lines on their way to an operator's terminal: warnings in words, and no security events."""

    def write(self, line: str) -> int:
        with suppress(ValueError):
            document = json.loads(line)
            if "security_event" not in document and document["level"] in {"WARNING", "ERROR", "CRITICAL"}:
                sys.stderr.write(f"{document['level'].lower()}: {ascii(document['message'])[1:-1]}\n")
        return len(line)


def moment(text: str) -> datetime:
    """Return a time that an operator has typed, such as ``2026-01-31T00:00:00Z``.

    Raises:
        ArgumentTypeError: it has no zone.
        ValueError: it is no time.

    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ArgumentTypeError("needs a zone, such as Z for UTC")
    return time


def answer(text: str, *, as_json: bool = False, **facts: Any) -> int:
    """Write the command's answer to standard output: ``text``, or ``facts`` as JSON. Return the exit status.

    The work is done by then. A reader that has ended, as in ``accounts disable E | true``, did not want the answer, so
    the status is 0. If the answer is lost otherwise, as on a full disk, the status is 1 and stderr says why.
    """
    try:
        sys.stdout.write((json.dumps(facts, default=str) if as_json else text) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
    except OSError as error:
        discard_output()
        sys.stderr.write(f"the work is done, but its answer could not be written: {error}\n")
        return 1
    return 0


def discard_output() -> None:
    """Write nothing more to standard output, not even at the exit: its reader has gone."""
    with suppress(io.UnsupportedOperation):  # a stream in memory, which loses nothing at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Progress:
    """Numbers on a terminal's stderr while a command works. Elsewhere nothing."""

    def __init__(self, what: str) -> None:
        """Begin.

        Args:
            what: what is counted, in words.

        """
        self._what = what
        self._is_shown = sys.stderr.isatty()
        self._shown_at = 0.0

    def __call__(self, number: int) -> None:
        """Show how many there are by now."""
        if self._is_shown and time.monotonic() - self._shown_at >= _PROGRESS_EVERY:
            self._shown_at = time.monotonic()
            sys.stderr.write(f"\r{number} {self._what}")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Make room for the answer, or for an error."""
        if self._shown_at:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


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
