"""``uv run audit``: the audit log for operators: follow it, check it, export it.

Works on the database that DATABASE_URL or DATA_DIR names, also while the service runs. Reading is recorded.
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

from auth_common.audit.reading import BATCH, FUTURE, AuditQuery, AuditRecord, read_audit_records
from auth_common.audit.verification import Anchor, Verification, verify_audit_log
from auth_common.errors import ServiceError
from auth_common.events.ocsf import to_ocsf
from auth_common.events.request_context import canonical_ip
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.events.vocabulary import Severity
from tools.operators.operation import Progress, add_json_option, discard_output, moment, operation, reason

#: A record that was committed late has an earlier time than one that we have shown already: so far we look back.
_LATEST_COMMIT: Final = timedelta(seconds=60)
_POLL_SECONDS: Final = 1.0
#: Records from the future that are looked at: an attacker may have inserted any number of them.
_FUTURE_RECORDS: Final = 100
_TAMPERED: Final = 3
_INTERRUPTED: Final = 130
#: The status of a program that SIGPIPE ends, in a shell.
_CUT_OFF: Final = 141
#: Where an export in OCSF has the record's MAC, in ``unmapped``.
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

    0: done, and nothing was found; 1: the reason is on stderr; 2: wrong usage; 3: the log has been tampered with;
    130: interrupted; 141: the reader of the output ended before the last record, as in ``audit export | head``.
    """
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.run
    try:
        with operation("audit", as_json=options.json):
            return command(options)
    except ServiceError as error:
        sys.stderr.write(f"audit: {reason(error)}\n")
    except BrokenPipeError:
        discard_output()
        return _CUT_OFF
    except OSError as error:
        discard_output()
        sys.stderr.write(f"audit: {error}\n")
    except KeyboardInterrupt:
        # That is how one ends tail --follow. A verification that was cut off has not found the log intact.
        return 0 if options.command == "tail" else _INTERRUPTED
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="audit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    verify = commands.add_parser("verify", help="find records that were changed, moved, deleted or cut off")
    verify.add_argument("log", nargs="*", type=Path, help="the service's log, JSON lines; - for standard input")
    verify.set_defaults(run=_verify)

    tail = commands.add_parser("tail", help="show the newest events")
    tail.add_argument("--follow", action="store_true", help="go on showing what comes")
    tail.add_argument("-n", "--lines", type=_count, default=20, metavar="COUNT")
    tail.set_defaults(run=_tail)

    export = commands.add_parser("export", help="write events as JSON lines, oldest first")
    export.add_argument("--ocsf", action="store_true", help="in the Open Cybersecurity Schema Framework, for a SIEM")
    export.set_defaults(run=_export)

    for each in (verify, tail, export):
        add_json_option(each)
    for reading in (tail, export):
        reading.add_argument("--from", dest="since", type=moment, help="from this time on: 2026-01-31T00:00:00Z")
        reading.add_argument("--to", dest="until", type=moment, help="before this time")
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
        _show(verification, as_json=options.json)
    except BrokenPipeError:
        discard_output()  # The verification is complete, and the status is its result.
    return _TAMPERED if verification.findings else 0


def _show(verification: Verification, *, as_json: bool) -> None:
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
    """Yield what the lines of a log say of records; other lines are none of our business."""
    # Standard input stays open: it may be named twice.
    with nullcontext(sys.stdin) if str(path) == "-" else path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                document = json.loads(line[line.index("{") :])
                yield _anchor(document)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                continue


def _anchor(document: dict[str, Any]) -> Anchor:
    """Return what a line of the log, or of an export in OCSF, says of its record."""
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
    # Before the page: what happens between the two reads is in the page, or comes with the next poll.
    shown = {_key(record) for record in _recent(query, polled)} if options.follow else set()
    for record in read_audit_records(query, newest=options.lines):
        _write(_line(record, as_json=options.json))
        shown.add(_key(record))
    while options.follow:
        sleep(_POLL_SECONDS)
        # From the last poll on, however long ago that was: the process may have been stopped.
        since, polled = polled, datetime.now(UTC)
        recent = list(_recent(query, since))
        for record in recent:
            if _key(record) not in shown:
                _write(_line(record, as_json=options.json))
        shown = {_key(record) for record in recent}
    return 0


def _recent(query: AuditQuery, since: datetime) -> Iterator[AuditRecord]:
    """Yield records that may have been committed since then, and the last of those that come from the future."""
    asked_since = query.since or since - _LATEST_COMMIT
    horizon = datetime.now(UTC) + FUTURE
    until = min(query.until or horizon, horizon)
    yield from _all(replace(query, since=max(asked_since, since - _LATEST_COMMIT), until=until))
    yield from read_audit_records(replace(query, since=max(asked_since, horizon)), newest=_FUTURE_RECORDS)


def _export(options: argparse.Namespace) -> int:
    _record_reading("export", options)
    tampered = 0
    with Progress("records exported") as progress:
        for number, record in enumerate(_all(_query(options)), 1):
            tampered += not record.intact
            if not options.ocsf:
                _write(json.dumps(_as_json(record), default=str))
            elif record.intact:  # a SIEM must not take for an event what an attacker has made of one
                _write(json.dumps(_as_ocsf(record)))
            # On a terminal the records themselves show the progress.
            if not sys.stdout.isatty():
                progress(number)
    if tampered:
        left_out = ", and were left out" if options.ocsf else ""
        sys.stderr.write(f"audit: {tampered} records are not as they were written{left_out}; run: audit verify\n")
    return _TAMPERED if tampered else 0


def _all(query: AuditQuery) -> Iterator[AuditRecord]:
    after = None
    while batch := read_audit_records(query, after=after):
        yield from batch
        after = batch[-1].place


def _record_reading(how: str, options: argparse.Namespace) -> None:
    filters = str(_query(options)) if how != "verify" else None
    security_event(SecurityEvent.SENSITIVE_READ, reason="by_operator", target=f"audit {how}", filters=filters)


def _query(options: argparse.Namespace) -> AuditQuery:
    return AuditQuery(
        since=options.since,
        until=options.until,
        event=options.event,
        outcome=options.outcome,
        severity=int(Severity[options.severity.upper()]) if options.severity else None,
        user_id=options.user_id,
        source_ip=options.ip,
        reason=options.reason,
    )


def _as_ocsf(record: AuditRecord) -> dict[str, Any]:
    """Return the event of the log line, with the place and the MAC of its record: an export is an anchor too."""
    event = to_ocsf(record.as_occurrence())
    event["metadata"] |= {"uid": f"{record.chain_id}.{record.sequence}", "sequence": record.sequence}
    event["unmapped"] = {**event.get("unmapped", {}), _MAC: record.mac.hex()}
    return event


def _as_json(record: AuditRecord) -> dict[str, Any]:
    shown = {name: value for name, value in asdict(record).items() if name != "place"}
    return shown | {"time": record.time.isoformat(), "mac": record.mac.hex()}


def _line(record: AuditRecord, *, as_json: bool) -> str:
    """Return a record as a line for people, or as JSON. What a client has sent is escaped: a terminal would obey it."""
    if as_json:
        return json.dumps(_as_json(record), default=str)
    facts = {
        "user": record.user_id,
        "reason": record.reason,
        "ip": record.source_ip or ("erased" if record.erased else None),
        "in": f"{record.method} {record.path}".strip() or record.function or None,
        **record.detail,
    }
    told = " ".join(f"{_quoted(name)}={_quoted(str(value))}" for name, value in facts.items() if value is not None)
    warning = "" if record.intact else " NOT AS IT WAS WRITTEN"
    severity = record.severity.name.lower()
    time = record.time.isoformat(timespec="milliseconds")
    return _coloured(f"{time} {severity:<13} {_quoted(record.event):<24} {told}{warning}", record)


def _quoted(value: str) -> str:
    """Return a value that can neither pass for several nor move the cursor: a client puts into some what it likes."""
    harmless = re.fullmatch(r"[\w./:-]*", value, re.ASCII)
    return value if harmless else json.dumps(value).replace("\x7f", "\\u007f")


def _coloured(text: str, record: AuditRecord) -> str:
    colour = _COLOURS[record.severity] if record.intact else _COLOURS[Severity.CRITICAL]
    return f"{colour}{text}{_RESET}" if colour and sys.stdout.isatty() else text


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _key(record: AuditRecord) -> tuple[UUID, int]:
    return record.chain_id, record.sequence


def _client_ip(text: str) -> str:
    client_ip = canonical_ip(text)
    if client_ip is None:
        raise argparse.ArgumentTypeError("must be an IP address")
    return client_ip


def _count(text: str) -> int:
    count = int(text)
    if not 0 < count <= BATCH:
        raise argparse.ArgumentTypeError("must be from 1 to 1000")
    return count
