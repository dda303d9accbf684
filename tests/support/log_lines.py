"""What the functions write to stdout, read as CloudWatch does: a JSON document a line."""

import io
import json
import logging
import sys
from typing import Any

import pytest

from auth_common.events.vocabulary import SecurityEvent


class CurrentStdout(io.TextIOBase):
    """Whatever ``sys.stdout`` is at the moment. pytest exchanges it between tests; in Lambda it stays the same."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)


class LogLines:
    """The lines of one test, log records and metrics."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    @property
    def text(self) -> str:
        """Everything so far, as it was written."""
        self._text += self._capsys.readouterr().out
        return self._text

    @property
    def records(self) -> list[dict[str, Any]]:
        """The log records."""
        return [document for document in self._documents() if "_aws" not in document]

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines in CloudWatch's Embedded Metric Format."""
        return [document for document in self._documents() if "_aws" in document]

    @property
    def security_events(self) -> list[dict[str, Any]]:
        """The security events in short, without those that begin a chain of the audit log."""
        events = [in_short(record["security_event"]) for record in self.records if "security_event" in record]
        return [event for event in events if event["name"] != SecurityEvent.SYS_STARTUP]

    def reasons(self, name: str) -> list[str | None]:
        """Return the reasons of the security events of this name."""
        return [event.get("reason") for event in self.security_events if event["name"] == name]

    def _documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


def in_short(ocsf: dict[str, Any]) -> dict[str, Any]:
    """Return what an OCSF event says, without the framework around it."""
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
    """Send all log records to stdout: Lambda's runtime has a handler at the root before any code of ours is loaded."""
    logging.getLogger().addHandler(logging.StreamHandler(CurrentStdout()))
    from auth_common.events.logger import logger  # noqa: PLC0415 - only now, as in Lambda

    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(CurrentStdout())
