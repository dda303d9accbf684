"""The functions' standard output, read as CloudWatch does: one JSON document per line."""

import io
import json
import logging
import sys
from typing import Any

import pytest

from auth_common.events.vocabulary import SecurityEvent


class CurrentStdout(io.TextIOBase):
    """A stream that writes to the current ``sys.stdout``. pytest replaces ``sys.stdout`` for each test."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)


class LogLines:
    """The log records and metrics that the functions wrote during one test."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    @property
    def text(self) -> str:
        """The whole output of the test so far, unparsed."""
        self._text += self._capsys.readouterr().out
        return self._text

    @property
    def records(self) -> list[dict[str, Any]]:
        """The lines that are not metrics."""
        return [document for document in self._documents() if "_aws" not in document]

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines in CloudWatch's Embedded Metric Format."""
        return [document for document in self._documents() if "_aws" in document]

    @property
    def security_events(self) -> list[dict[str, Any]]:
        """The security events, flattened by ``flatten_event``, without ``sys_startup``, which begins an audit chain."""
        events = [flatten_event(record["security_event"]) for record in self.records if "security_event" in record]
        return [event for event in events if event["name"] != SecurityEvent.SYS_STARTUP]

    def reasons(self, name: str) -> list[str | None]:
        """Return the reasons of the security events with this name, None for each event without a reason."""
        return [event.get("reason") for event in self.security_events if event["name"] == name]

    def _documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


def flatten_event(ocsf: dict[str, Any]) -> dict[str, Any]:
    """Return the values of an OCSF event in a flat dictionary, without the values that are None."""
    user = ocsf.get("user") or ocsf.get("actor", {}).get("user") or {}
    http = ocsf.get("http_request", {})
    short = {
        "name": ocsf["metadata"]["event_code"],
        "outcome": ocsf["status"].lower(),
        "user_id": user.get("uid"),
        "reason": ocsf.get("status_detail"),
        "source_ip": ocsf.get("src_endpoint", {}).get("ip"),
        "user_agent": http.get("user_agent"),
        "method": http.get("http_method"),
        "path": http.get("url", {}).get("path"),
        **ocsf.get("unmapped", {}),
    }
    return {name: value for name, value in short.items() if value is not None}


def write_logs_as_lambda_does() -> None:
    """Send all log records to stdout, as Lambda's runtime does.

    The runtime adds a handler to the root logger before it loads the functions. So this handler is added first too.
    """
    logging.getLogger().addHandler(logging.StreamHandler(CurrentStdout()))
    from auth_common.events.logger import logger  # noqa: PLC0415 - Lambda imports it after the handler is there

    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(CurrentStdout())
