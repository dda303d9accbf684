"""Functions that all commands of operators share: recording the operator, output, progress and error texts."""

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

from auth_common.audit_log.writer import install_audit_writer
from auth_common.errors import ServiceError, StorageNotMounted
from auth_common.events import request_context
from auth_common.events.logger import logger
from auth_common.events.request_context import RequestContext
from auth_common.settings import settings

#: Seconds between two updates of the progress.
_PROGRESS_INTERVAL: Final = 0.2


def add_json_option(parser: ArgumentParser) -> None:
    """Add the option ``--json`` to a command."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON, and log lines to stderr as JSON")


@contextmanager
def operator_command(command: str, *, as_json: bool = False) -> Iterator[None]:
    """Run the block as a command: its security events name the command and the operator, and logs go to stderr.

    Standard output has only the command's result, because another program may read it. On a terminal log lines would
    hide the result, so the operator sees only warnings, as plain text.

    Args:
        command: the command's name.
        as_json: whether log lines are JSON even on a terminal.

    """
    install_audit_writer()
    handler = cast("Any", logger.registered_handler)  # Powertools creates a StreamHandler
    entered = request_context.enter(RequestContext(function=command, operator=_operator()))
    previous_stream = handler.stream
    previous_service = logger.get_current_keys()["service"]
    handler.setStream(sys.stderr if as_json or not sys.stderr.isatty() else _TerminalLog())
    logger.append_keys(service=command)
    try:
        yield
    finally:
        logger.append_keys(service=previous_service)  # append_context_keys would remove the field.
        request_context.leave(entered)
        handler.setStream(previous_stream)


class _TerminalLog(io.StringIO):
    """A log for a terminal: it writes warnings and errors to stderr as plain text, and drops all other lines."""

    def write(self, line: str) -> int:
        with suppress(ValueError):
            document = json.loads(line)
            if "security_event" not in document and document["level"] in {"WARNING", "ERROR", "CRITICAL"}:
                sys.stderr.write(f"{document['level'].lower()}: {ascii(document['message'])[1:-1]}\n")
        return len(line)


def parse_time(text: str) -> datetime:
    """Return the time in an argument such as ``2026-01-31T00:00:00Z``.

    Raises:
        ArgumentTypeError: the time has no time zone.
        ValueError: the text is not a time in ISO 8601.

    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ArgumentTypeError("must have a time zone, such as Z for UTC")
    return time


def print_result(text: str, *, as_json: bool = False, **facts: Any) -> int:
    """Write the command's result to standard output: ``text``, or ``facts`` as JSON. Return the exit status.

    The command has already committed its changes. If the reader has ended, as in ``accounts disable E | true``, it
    needs no result, so the status is 0. If the result cannot be written, as on a full disk, the status is 1 and stderr
    has the reason.
    """
    try:
        sys.stdout.write((json.dumps(facts, default=str) if as_json else text) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
    except OSError as error:
        discard_output()
        sys.stderr.write(f"the changes are made, but the result could not be written: {error}\n")
        return 1
    return 0


def discard_output() -> None:
    """Send standard output to /dev/null, because its reader has ended. Otherwise Python fails at the exit."""
    with suppress(io.UnsupportedOperation):  # a test's stream in memory has no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Progress:
    """Shows a growing number on stderr while a command works, if stderr is a terminal."""

    def __init__(self, label: str) -> None:
        """Create the progress of a command.

        Args:
            label: the text after the number, for example "records checked".

        """
        self._label = label
        self._is_shown = sys.stderr.isatty()
        self._shown_at = 0.0

    def __call__(self, number: int) -> None:
        """Show ``number``, unless the last update was a moment ago."""
        if self._is_shown and time.monotonic() - self._shown_at >= _PROGRESS_INTERVAL:
            self._shown_at = time.monotonic()
            sys.stderr.write(f"\r{number} {self._label}")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        """Return this object."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the number from the terminal, before the result or an error is printed."""
        if self._shown_at:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _operator() -> str:
    """Return the name of the system user that runs this process. The environment could contain any other name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def error_text(error: ServiceError) -> str:
    """Return the text that the operator of a command reads if the command fails with ``error``."""
    if isinstance(error, StorageNotMounted):
        return f"there is no folder {settings().data_dir}: set DATA_DIR to the data folder of the service"
    return str(error) or (f"{error.detail} ({error.__cause__})" if error.__cause__ else error.detail)
