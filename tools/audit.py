"""``uv run audit``: the audit log for operators: follow it, check it, export it.

Works on the database that DATABASE_URL or DATA_DIR names, also while the service runs. Reading is recorded.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from time import sleep
from typing import Any, Final
from uuid import UUID

from auth_common.db.engine import transaction
from auth_common.errors import ServiceError
from auth_common.monitoring.event_catalogue import CATALOGUE
from auth_common.monitoring.ocsf import to_ocsf
from auth_common.monitoring.security_events import SecurityEvent, security_event
from auth_common.monitoring.vocabulary import Severity
from auth_common.services.audit import BATCH, AuditQuery, AuditRecord, read_audit_records
from auth_common.services.audit_verification import Anchor, verify_audit_log
from tools.operation import operation

#: A record that was committed late has an earlier time than one that we have shown already: so far we look back.
_LATEST_COMMIT: Final = timedelta(seconds=60)
_POLL_SECONDS: Final = 1.0
_TAMPERED: Final = 3

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

    0: done, and nothing was found; 1: the reason is on stderr; 2: wrong usage; 3: the log has been tampered with.
    """
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.run
    try:
        with operation("audit"):
            return command(options)
    except ServiceError as error:
        sys.stderr.write(f"audit: {str(error) or error.detail}\n")
    except OSError as error:
        sys.stderr.write(f"audit: {error}\n")
    except KeyboardInterrupt:
        return 0
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
    export.add_argument("--from", dest="since", type=_moment, help="from this time on, such as 2026-01-31T00:00:00Z")
    export.add_argument("--to", dest="until", type=_moment, help="before this time")
    export.set_defaults(run=_export)

    for reading in (tail, export):
        reading.add_argument("--event", choices=list(SecurityEvent), metavar="NAME")
        reading.add_argument("--outcome", choices=["success", "failure"])
        reading.add_argument("--severity", choices=[name.lower() for name in Severity.__members__])
        reading.add_argument("--user-id", type=UUID)
        reading.add_argument("--ip", type=ip_address)
        reading.add_argument("--reason")
    return parser


def _verify(options: argparse.Namespace) -> int:
    _record_reading("verify")
    verification = verify_audit_log(anchor for path in options.log for anchor in _anchors(path))
    for finding in verification.findings:
        sys.stdout.write(f"{finding}\n")
    sys.stdout.write(
        f"{verification.records} records in {verification.chains} chains and {verification.anchors} lines checked: "
        f"{f'{len(verification.findings)} faults' if verification.findings else 'intact'}\n"
    )
    return _TAMPERED if verification.findings else 0


def _anchors(path: Path) -> Iterator[Anchor]:
    """Yield what the lines of a log say of records; other lines are none of our business."""
    with sys.stdin if str(path) == "-" else path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                document = json.loads(line[line.index("{") :])
                audit, event = document["audit"], document["security_event"]
                yield Anchor(
                    chain_id=UUID(audit["chain"]),
                    sequence=int(audit["sequence"]),
                    mac=str(audit["mac"]),
                    time=int(event["time"]),
                )
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue


def _tail(options: argparse.Namespace) -> int:
    _record_reading("tail")
    query = _query(options)
    for record in read_audit_records(query, newest=options.lines):
        _write(_line(record))
    shown = {_key(record) for record in _recent(query)}
    while options.follow:
        sleep(_POLL_SECONDS)
        recent = list(_recent(query))
        for record in recent:
            if _key(record) not in shown:
                _write(_line(record))
        shown = {_key(record) for record in recent}
    return 0


def _recent(query: AuditQuery) -> Iterator[AuditRecord]:
    return _all(replace(query, since=datetime.now(UTC) - _LATEST_COMMIT))


def _export(options: argparse.Namespace) -> int:
    _record_reading("export")
    left_out = 0
    for record in _all(_query(options)):
        if options.ocsf and record.event not in CATALOGUE:
            left_out += 1
            continue
        document = to_ocsf(record.as_occurrence()) if options.ocsf else _as_json(record)
        _write(json.dumps(document, default=str))
    if left_out:
        sys.stderr.write(f"audit: left out {left_out} records with names that this version does not know\n")
    return 1 if left_out else 0


def _all(query: AuditQuery) -> Iterator[AuditRecord]:
    after = None
    while batch := read_audit_records(query, after=after):
        yield from batch
        after = batch[-1].place


def _record_reading(how: str) -> None:
    transaction(
        lambda _connection: security_event(SecurityEvent.SENSITIVE_READ, reason="by_operator", target=f"audit {how}")
    )


def _query(options: argparse.Namespace) -> AuditQuery:
    return AuditQuery(
        since=getattr(options, "since", None),
        until=getattr(options, "until", None),
        event=options.event,
        outcome=options.outcome,
        severity=int(Severity[options.severity.upper()]) if options.severity else None,
        user_id=options.user_id,
        source_ip=str(options.ip) if options.ip else None,
        reason=options.reason,
    )


def _as_json(record: AuditRecord) -> dict[str, Any]:
    return {**asdict(record), "time": record.time.isoformat(), "mac": record.mac.hex()}


def _line(record: AuditRecord) -> str:
    """Return a record as a line for people. What a client has sent is escaped: a terminal would obey it."""
    facts = {
        "user": record.user_id,
        "reason": record.reason,
        "ip": record.source_ip or ("erased" if record.erased else None),
        "request": f"{record.method} {record.path}".strip() or None,
        **record.detail,
    }
    told = " ".join(f"{name}={_quoted(str(value))}" for name, value in facts.items() if value is not None)
    warning = "" if record.intact else " NOT AS IT WAS WRITTEN"
    text = f"{record.time.isoformat(timespec='milliseconds')} {record.event:<24} {told}{warning}"
    return _coloured(json.dumps(text)[1:-1].replace('\\"', '"').replace("\x7f", "\\u007f"), record)


def _quoted(value: str) -> str:
    """Return a value that cannot pass for several: a client can put what it likes into some of them."""
    return value if re.fullmatch(r"[\w./:-]*", value) else json.dumps(value)


def _coloured(text: str, record: AuditRecord) -> str:
    colour = _COLOURS[record.severity] if record.intact else _COLOURS[Severity.CRITICAL]
    return f"{colour}{text}{_RESET}" if colour and sys.stdout.isatty() else text


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _key(record: AuditRecord) -> tuple[UUID, int]:
    return record.chain_id, record.sequence


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError("needs a zone, such as Z for UTC")
    return moment


def _count(text: str) -> int:
    count = int(text)
    if not 0 < count <= BATCH:
        raise argparse.ArgumentTypeError("must be from 1 to 1000")
    return count
