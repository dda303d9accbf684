"""``uv run audit``: show, follow, verify and export the audit log.

It works on the database that DATABASE_URL or DATA_DIR names. The service may be running. Each reading is recorded in
the audit log.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep
from typing import Any, Final
from uuid import UUID

from auth_common.audit.reading import BATCH_RECORDS, MAX_CLOCK_LEAD, AuditRecord, read_audit_records
from auth_common.audit.verification import Anchor, Verification, verify_audit_log
from auth_common.audit_log.store import AuditQuery
from auth_common.errors import ServiceError
from auth_common.events.client_ip import canonical_ip
from auth_common.events.ocsf import to_ocsf
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.events.vocabulary import Severity
from tools.operators.operator_command import (
    Progress,
    add_json_option,
    discard_output,
    error_text,
    operator_command,
    parse_time,
)

#: ``tail --follow`` reads this interval again at each poll, because a record can be committed after a later one.
_MAX_COMMIT_DELAY: Final = timedelta(seconds=60)
_POLL_SECONDS: Final = 1.0
#: ``tail`` shows at most this many records with a future time. An attacker can insert any number of them.
_MAX_FUTURE_RECORDS: Final = 100
#: Exit statuses. Shells use 130 for SIGINT and 141 for SIGPIPE.
_EXIT_TAMPERED: Final = 3
_EXIT_INTERRUPTED: Final = 130
_EXIT_BROKEN_PIPE: Final = 141
#: The name of the record's MAC in the field ``unmapped`` of an export in OCSF.
_MAC: Final = "audit_mac"

_COLOURS: Final = {
    Severity.INFORMATIONAL: "",
    Severity.LOW: "\x1b[33m",
    Severity.MEDIUM: "\x1b[35m",
    Severity.HIGH: "\x1b[31m",
    Severity.CRITICAL: "\x1b[1;31m",
}
_RESET: Final = "\x1b[0m"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    0: success. 1: failure, with the reason on stderr. 2: wrong usage. 3: the audit log was tampered with.
    130: interrupted. 141: the reader of the output ended before the last record, as in ``audit export | head``.
    """
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.run
    try:
        with operator_command("audit", as_json=options.json):
            return command(options)
    except ServiceError as error:
        sys.stderr.write(f"audit: {error_text(error)}\n")
    except BrokenPipeError:
        discard_output()
        return _EXIT_BROKEN_PIPE
    except OSError as error:
        discard_output()
        sys.stderr.write(f"audit: {error}\n")
    except KeyboardInterrupt:
        # Ctrl-C is the way to stop tail --follow. An interrupted verification has not shown that the log is intact.
        return 0 if options.command == "tail" else _EXIT_INTERRUPTED
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="audit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    verify = commands.add_parser("verify", help="find records that were changed, moved or deleted")
    verify.add_argument("log", nargs="*", type=Path, help="log files of the service (JSON lines), - for stdin")
    verify.set_defaults(run=_verify)

    tail = commands.add_parser("tail", help="show the newest events")
    tail.add_argument("--follow", action="store_true", help="keep showing new events")
    tail.add_argument("-n", "--lines", type=_count, default=20, metavar="COUNT")
    tail.set_defaults(run=_tail)

    export = commands.add_parser("export", help="write events as JSON lines, oldest first")
    export.add_argument("--ocsf", action="store_true", help="use the Open Cybersecurity Schema Framework, for a SIEM")
    export.set_defaults(run=_export)

    for each in (verify, tail, export):
        add_json_option(each)
    for reading in (tail, export):
        reading.add_argument(
            "--from", dest="from_", type=parse_time, help="events at or after this time: 2026-01-31T00:00:00Z"
        )
        reading.add_argument("--to", type=parse_time, help="events before this time")
        reading.add_argument("--event", choices=[event.value for event in SecurityEvent], metavar="NAME")
        reading.add_argument("--outcome", choices=["success", "failure"])
        reading.add_argument("--severity", choices=[name.lower() for name in Severity.__members__])
        reading.add_argument("--user-id", type=UUID)
        reading.add_argument("--ip", type=_client_ip)
        reading.add_argument("--reason")
    return parser


def _verify(options: argparse.Namespace) -> int:
    _record_reading("verify", options)
    anchors = (anchor for path in options.log for anchor in _anchors(path))
    with Progress("records checked") as progress:
        verification = verify_audit_log(anchors, progress=progress)
    try:
        _print_verification(verification, as_json=options.json)
    except BrokenPipeError:
        discard_output()  # The verification is complete, and the exit status has its result.
    return _EXIT_TAMPERED if verification.findings else 0


def _print_verification(verification: Verification, *, as_json: bool) -> None:
    for finding in verification.findings:
        _write(json.dumps(asdict(finding), default=str) if as_json else str(finding))
    if as_json:
        _write(json.dumps(asdict(verification) | {"findings": len(verification.findings)}))
        return
    _write(
        f"{verification.records} records in {verification.chains} chains and {verification.anchors} lines checked: "
        f"{f'{len(verification.findings)} faults' if verification.findings else 'intact'}"
    )


def _anchors(path: Path) -> Iterator[Anchor]:
    """Yield the anchors in the lines of a log. Ignore all other lines."""
    # Standard input stays open, because the arguments may name it twice.
    with nullcontext(sys.stdin) if str(path) == "-" else path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                document = json.loads(line[line.index("{") :])
                yield _anchor(document)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                continue


def _anchor(document: dict[str, Any]) -> Anchor:
    """Return the anchor in a line of the log or of an export in OCSF: the place, MAC and time of a record."""
    if "audit" in document:
        place, event = document["audit"], document["security_event"]
        chain, sequence, mac = place["chain"], place["sequence"], place["mac"]
    else:
        event = document
        chain, _, sequence = event["metadata"]["uid"].partition(".")
        mac = event["unmapped"][_MAC]
    return Anchor(chain_id=UUID(chain), sequence=int(sequence), mac=bytes.fromhex(mac).hex(), time=int(event["time"]))


def _tail(options: argparse.Namespace) -> int:
    _record_reading("tail", options)
    query = _query(options)
    polled = datetime.now(UTC)
    # Read the recent records before the page. A record that is committed between the two reads is then either in the
    # page or new at the next poll.
    shown = {_place(record) for record in _recent(query, polled)} if options.follow else set()
    for record in read_audit_records(query, newest=options.lines):
        _write(_line(record, as_json=options.json))
        shown.add(_place(record))
    while options.follow:
        sleep(_POLL_SECONDS)
        # The last poll may be long ago, because the process may have been stopped.
        since, polled = polled, datetime.now(UTC)
        recent = list(_recent(query, since))
        for record in recent:
            if _place(record) not in shown:
                _write(_line(record, as_json=options.json))
        shown = {_place(record) for record in recent}
    return 0


def _recent(query: AuditQuery, since: datetime) -> Iterator[AuditRecord]:
    """Yield all records that may have been committed after ``since``, and the newest records with a future time."""
    asked_from = query.from_ or since - _MAX_COMMIT_DELAY
    horizon = datetime.now(UTC) + MAX_CLOCK_LEAD
    to = min(query.to or horizon, horizon)
    yield from _read_all(replace(query, from_=max(asked_from, since - _MAX_COMMIT_DELAY), to=to))
    yield from read_audit_records(replace(query, from_=max(asked_from, horizon)), newest=_MAX_FUTURE_RECORDS)


def _export(options: argparse.Namespace) -> int:
    _record_reading("export", options)
    tampered = 0
    with Progress("records exported") as progress:
        for number, record in enumerate(_read_all(_query(options)), 1):
            tampered += not record.intact
            if not options.ocsf:
                _write(json.dumps(_as_json(record), default=str))
            elif record.intact:  # a SIEM must not get a tampered record as a security event
                _write(json.dumps(_as_ocsf(record)))
            # On a terminal the records show the progress.
            if not sys.stdout.isatty():
                progress(number)
    if tampered:
        left_out = ", and were left out" if options.ocsf else ""
        sys.stderr.write(f"audit: {tampered} records are not as they were written{left_out}; run: audit verify\n")
    return _EXIT_TAMPERED if tampered else 0


def _read_all(query: AuditQuery) -> Iterator[AuditRecord]:
    after = None
    while batch := read_audit_records(query, after=after):
        yield from batch
        after = batch[-1].place


def _record_reading(subcommand: str, options: argparse.Namespace) -> None:
    filters = str(_query(options)) if subcommand != "verify" else None
    security_event(SecurityEvent.SENSITIVE_READ, reason="by_operator", target=f"audit {subcommand}", filters=filters)


def _query(options: argparse.Namespace) -> AuditQuery:
    return AuditQuery(
        from_=options.from_,
        to=options.to,
        event=options.event,
        outcome=options.outcome,
        severity=int(Severity[options.severity.upper()]) if options.severity else None,
        user_id=options.user_id,
        ip=options.ip,
        reason=options.reason,
    )


def _as_ocsf(record: AuditRecord) -> dict[str, Any]:
    """Return the security event in OCSF as in the log line, with the record's place and MAC as an anchor."""
    event = to_ocsf(record.to_event())
    event["metadata"] |= {"uid": f"{record.chain_id}.{record.sequence}", "sequence": record.sequence}
    event["unmapped"] = {**event.get("unmapped", {}), _MAC: record.mac.hex()}
    return event


def _as_json(record: AuditRecord) -> dict[str, Any]:
    shown = {name: value for name, value in asdict(record).items() if name != "place"}
    return shown | {"time": record.time.isoformat(), "mac": record.mac.hex()}


def _line(record: AuditRecord, *, as_json: bool) -> str:
    """Return a record as a line of text or as JSON.

    Values from clients are escaped, because a terminal would execute escape sequences in them.
    """
    if as_json:
        return json.dumps(_as_json(record), default=str)
    facts = {
        "user": record.user_id,
        "reason": record.reason,
        "ip": record.source_ip or ("erased" if record.erased else None),
        "in": f"{record.method} {record.path}".strip() or record.function or None,
        **record.detail,
    }
    text = " ".join(f"{_quoted(name)}={_quoted(str(value))}" for name, value in facts.items() if value is not None)
    warning = "" if record.intact else " NOT AS IT WAS WRITTEN"
    severity = record.severity.name.lower()
    time = record.time.isoformat(timespec="milliseconds")
    return _coloured(f"{time} {severity:<13} {_quoted(record.event):<24} {text}{warning}", record)


def _quoted(value: str) -> str:
    """Return ``value``, quoted as a JSON string unless it is a simple word.

    A client may have chosen the value. It must not look like several values, and must not move the terminal's cursor.
    """
    harmless = re.fullmatch(r"[\w./:-]*", value, re.ASCII)
    return value if harmless else json.dumps(value).replace("\x7f", "\\u007f")


def _coloured(text: str, record: AuditRecord) -> str:
    colour = _COLOURS[record.severity] if record.intact else _COLOURS[Severity.CRITICAL]
    return f"{colour}{text}{_RESET}" if colour and sys.stdout.isatty() else text


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _place(record: AuditRecord) -> tuple[UUID, int]:
    return record.chain_id, record.sequence


def _client_ip(text: str) -> str:
    client_ip = canonical_ip(text)
    if client_ip is None:
        raise argparse.ArgumentTypeError("must be an IP address")
    return client_ip


def _count(text: str) -> int:
    count = int(text)
    if not 0 < count <= BATCH_RECORDS:
        raise argparse.ArgumentTypeError("must be from 1 to 1000")
    return count
