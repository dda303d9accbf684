"""``uv run audit``: verify, tail and export."""

import hmac
import io
import itertools
import json
import math
import os
import pwd
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, insert, select, text, update

from auth_common.accounts.administration import unlock_user
from auth_common.accounts.erasure import erase_user
from auth_common.database.tables import audit_events, audit_salts
from auth_common.events import request_context
from auth_common.events.request_context import RequestContext
from auth_common.events.security_events import SecurityEvent, security_event
from tests.support.databases import start_fresh_environment
from tests.support.event_schema import schema_errors_of
from tests.support.events import SOURCE_IP
from tests.support.factories import log_in, sign_up
from tests.support.hostile_rows import insert_rows
from tests.support.outages import on_each_statement
from tests.support.races import send_at_once
from tests.support.runtime import closed_pipe, run_project_command
from tools.operators.audit import main

pytestmark = [pytest.mark.audit, pytest.mark.sqlite]

SEQUENCE = audit_events.c.sequence
#: For tests whose result depends on how a database stores and sorts.
on_each_database = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def chain(database, log_lines):
    """A chain of ten records: start, registration, login, tokens and six failed logins. Return its id."""
    sign_up()
    request = request_context.enter(RequestContext(source_ip=SOURCE_IP))
    append_records(6)
    request_context.leave(request)
    (row,) = database.execute(select(audit_events.c.chain_id).distinct())
    return row.chain_id


@pytest.fixture
def log_file(chain, log_lines, tmp_path):
    """The log lines of ``chain`` with a timestamp before each, and lines of other programs."""
    file = tmp_path / "service.log"
    prefixed = "".join(f"2026-01-01T00:00:00Z {line}\n" for line in log_lines.text.splitlines())
    file.write_text(f"something else\n[1, 2]\n{{\n{prefixed}")
    return file


@pytest.fixture
def verify(capsys, database):
    def run(*arguments):
        start_fresh_environment()
        capsys.readouterr()
        status = main(["verify", *map(str, arguments)])
        *findings, summary = capsys.readouterr().out.splitlines()
        return status, findings, summary

    return run


def change_record(database, sequence, **values):
    """Change the record with this sequence number."""
    database.execute(update(audit_events).where(SEQUENCE.in_([sequence])).values(**values))


def append_records(count):
    """Append failed logins to the chain of this environment, without the requests, which take ten times as long."""
    for _ in range(count):
        security_event(SecurityEvent.AUTHN_LOGIN_FAIL, reason="unknown_user", account="an-unknown-user")


@contextmanager
def changed(database, chain, sequence, **values):
    """Change a record of ``chain`` while the block runs."""
    place = (audit_events.c.chain_id == chain) & (sequence == SEQUENCE)
    (row,) = database.execute(select(audit_events).where(place))
    database.execute(update(audit_events).where(place).values(**values))
    yield
    database.execute(update(audit_events).where(place).values(**{name: getattr(row, name) for name in values}))


# --- verify -----------------------------------------------------------------------------------------------------------


@on_each_database
def test_unchanged_log_is_intact(verify, log_file):
    status, findings, summary = verify(log_file)
    # The second chain is that of the command: its start and the reading.
    assert (status, findings) == (0, [])
    assert summary == "12 records in 2 chains and 10 lines checked: intact"


CHANGED, MISSING = "is not what was written there", "is missing"
UNCHECKED = "cannot be checked, because the record before it is missing"


def findings_of(chain, faults):
    """Return the lines of findings in a chain, from faults by sequence number."""
    return [f"chain {chain}, record {sequence}: {fault}" for sequence, fault in faults.items()]


CHANGES: list[dict[str, Any]] = [
    *({"record": "{}"}, {"record": "not JSON"}, {"mac": b"\x01" * 32}, {"reason": "wrong_password"}),
    *({"source": b"\x01" * 16}, {"source": None}, {"name": "user_created"}, {"outcome": "success"}),
    *({"severity": 5}, {"time": 1_800_000_000_000}),
]


@pytest.mark.threat("audit-changed-record")
@on_each_database
def test_changed_record_is_the_only_finding(database, chain, verify):
    for values in CHANGES:
        with changed(database, chain, 6, **values):
            assert verify()[:2] == (3, findings_of(chain, {6: CHANGED})), values
    assert verify()[:2] == (0, [])


@pytest.mark.threat("audit-changed-record")
@on_each_database
@pytest.mark.parametrize(
    ("deleted", "faults"),
    [
        (range(5, 6), {5: MISSING, 6: UNCHECKED}),
        (range(5, 8), {5: f"{MISSING}, and all up to 7", 8: UNCHECKED}),
        (range(2), {0: f"{MISSING}, and all up to 1", 2: UNCHECKED}),
    ],
)
def test_deleted_records_are_found(database, chain, verify, deleted, faults):
    database.execute(delete(audit_events).where(SEQUENCE.in_(deleted)))
    assert verify()[:2] == (3, findings_of(chain, faults))


def test_record_after_a_deleted_one_is_checked_with_a_log_line(database, chain, verify, log_file):
    database.execute(delete(audit_events).where(SEQUENCE == 5))
    assert verify(log_file)[1] == findings_of(chain, {5: MISSING})
    change_record(database, 6, reason="wrong_password")
    assert verify(log_file)[1] == findings_of(chain, {5: MISSING, 6: CHANGED})


@pytest.mark.parametrize(
    ("places", "values"), [(range(4, 30), {"reason": "changed"}), (range(4, 29, 2), {"mac": b"\x01" * 32})]
)
def test_records_after_many_changed_ones_are_no_findings(database, chain, verify, places, values):
    append_records(20)
    database.execute(update(audit_events).where(SEQUENCE.in_(places)).values(values))
    assert verify()[1] == findings_of(chain, dict.fromkeys(places, CHANGED))


OTHER_USER = UUID(int=7)
#: Changes of one column each, in a record of a user who is not erased.
COLUMN_CHANGES: list[dict[str, Any]] = [
    *({"source": b"\x01" * 16}, {"source": None}, {"user_id": OTHER_USER}, {"user_id": None}, {"severity": 5}),
    *({"time": 1_800_000_000_000}, {"name": "authn_login_fail"}, {"outcome": "failure"}, {"reason": "unknown_user"}),
    *({"chain_id": UUID(int=9)}, {"sequence": 1_000}, {"record": "{}"}, {"mac": b"\x01" * 32}),
]


@pytest.mark.threat("audit-changed-record")
@on_each_database
@pytest.mark.parametrize("values", COLUMN_CHANGES, ids=str)
def test_each_changed_column_of_a_users_record_is_found(database, chain, verify, values):
    database.execute(update(audit_events).where(SEQUENCE == 2).values(**values))
    status, findings, _ = verify()
    assert status == 3
    assert any(f"chain {chain}, record 2: " in finding for finding in findings)
    assert not any(f"chain {chain}, record {sequence}: " in finding for finding in findings for sequence in (0, 1))


SALTS = {
    "replaced": update(audit_salts).values(salt=b"\x01" * 32),
    "emptied": update(audit_salts).values(salt=b""),
    "deleted": delete(audit_salts),
    "given to another": update(audit_salts).values(user_id=OTHER_USER),
}


@pytest.mark.threat("audit-changed-record")
@on_each_database
@pytest.mark.parametrize("change", SALTS)
def test_changed_salt_of_an_existing_user_is_found(database, chain, verify, capsys, change):
    """Without the salt the personal fields of each record cannot be decrypted, as after an erasure."""
    database.execute(SALTS[change])
    status, findings, _ = verify()
    assert status == 3
    assert [finding.split(": ")[0] for finding in findings] == [f"chain {chain}, record {n}" for n in (1, 2, 3)]
    main(["export", "--outcome", "success", "--to", "2100-01-01T00:00:00Z", "--event", "user_created"])
    (exported,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (exported["intact"], exported["erased"], exported["source_ip"]) == (False, False, None)


def test_client_ip_added_to_a_record_without_one_is_found(database, chain, verify):
    """The records of operators' commands have no client IP."""
    main(["export", "--outcome", "failure"])
    unlock_user("person@example.com")
    of_operator = audit_events.c.reason == "unlocked_by_operator"
    database.execute(update(audit_events).where(of_operator).values(source=b"\x01" * 16))
    assert verify()[0] == 3


@pytest.fixture
def work(monkeypatch):
    """Count the MACs that are computed, and their input in bytes."""
    counted: Counter[str] = Counter()
    digest = hmac.digest

    def counting(key, message, algorithm):
        counted.update({"MACs": 1, "bytes": len(message)})
        return digest(key, message, algorithm)

    monkeypatch.setattr(hmac, "digest", counting)
    return counted


@pytest.mark.threat("audit-filled")
@pytest.mark.parametrize("size", [100, 16_000, 200_000], ids=str)
def test_verification_of_bogus_rows_takes_linear_work(database, verify, work, size):
    """Each row has a wrong MAC, and none was moved."""

    def cost(rows):
        chain = UUID(int=rows)
        record = json.dumps({"detail": {"a": "x" * size}})
        insert_rows(database, [{"chain_id": chain, "sequence": n, "record": record} for n in range(rows)])
        work.clear()
        assert verify()[0] == 3
        return work.copy()

    few, many = cost(100), cost(400)
    assert many["MACs"] < 10 * 500
    assert many["bytes"] < 10 * 500 * 17_000
    assert many["MACs"] < 8 * few["MACs"]


@pytest.mark.threat("audit-filled")
def test_verification_of_many_chains_limits_the_search_for_moved_records(database, verify, work):
    """The original place of a record is searched among ten records of a chain, but not for every chain."""
    chains = [UUID(int=number) for number in range(1, 101)]
    insert_rows(database, [{"chain_id": chain, "sequence": n} for chain in chains for n in range(10)])
    work.clear()
    status, findings, _ = verify()
    assert (status, len(findings)) == (3, 1_000)
    assert work["MACs"] < 20_000


def test_value_of_another_type_is_a_finding(database, chain, verify):
    """SQLite stores a value of any type in a column."""
    place = (audit_events.c.name == "authn_login_fail") & (SEQUENCE == 6)
    (row,) = database.execute(select(audit_events).where(place))
    for name, value in {"mac": "'zz'", "user_id": "'junk'", "record": "x'00'", "severity": "'zz'"}.items():
        database.execute(update(audit_events).where(place).values({name: text(value)}))
        status, findings, _ = verify()
        assert (status, len(findings)) == (3, 1), name
        database.execute(update(audit_events).where(place).values({name: getattr(row, name)}))


def test_lines_that_contradict_each_other_are_a_finding(chain, verify, log_file):
    lines = log_file.read_text()
    last = [line for line in lines.splitlines() if '"audit"' in line][-1]
    mac = json.loads(last[last.index("{") :])["audit"]["mac"]
    log_file.write_text(lines + last.replace(mac, "0" * 64) + "\n")
    assert verify(log_file)[1] == findings_of(chain, {9: "has two log lines that contradict each other"})


def test_export_in_ocsf_anchors_its_records(database, chain, verify, capsys, tmp_path):
    capsys.readouterr()
    main(["export", "--ocsf"])
    (tmp_path / "export.jsonl").write_text(capsys.readouterr().out)
    database.execute(delete(audit_events).where(SEQUENCE >= 8, audit_events.c.chain_id == chain))
    findings = verify(tmp_path / "export.jsonl")[1]
    assert [finding.partition(": ")[2][:11] for finding in findings] == ["was deleted"] * len(findings)
    assert len(findings) >= 2


@on_each_database
@pytest.mark.threat("audit-changed-record")
def test_moved_records_are_found_with_their_original_place(database, chain, verify):
    for old, new in ((5, 1000), (7, 5), (1000, 7)):
        database.execute(update(audit_events).where(SEQUENCE.in_([old])).values(sequence=new))
    moved = "was moved: it was written as record"
    assert verify()[1] == findings_of(chain, {5: f"{moved} 7", 7: f"{moved} 5"})


@on_each_database
@pytest.mark.parametrize("place", [10, -1], ids=["to the end", "before the first"])
def test_copied_record_at_either_end_of_a_chain_is_found(database, chain, verify, place):
    (row,) = database.execute(select(audit_events).where(SEQUENCE == 5))
    database.execute(insert(audit_events).values(row._asdict() | {"sequence": place}))
    assert verify()[1] == findings_of(chain, {place: CHANGED})


@on_each_database
@pytest.mark.threat("audit-cut-chain")
def test_cut_tail_or_chain_is_found_by_the_lines_of_the_log(database, chain, verify, log_file):
    database.execute(delete(audit_events).where(SEQUENCE >= 8))
    assert verify()[1] == []
    cut = "was deleted from the end of the chain, but has a log line"
    assert verify(log_file)[1] == findings_of(chain, {8: cut, 9: cut})
    database.execute(delete(audit_events))
    status, findings, _ = verify(log_file)
    assert (status, len(findings)) == (3, 10)


@on_each_database
@pytest.mark.threat("audit-rewritten-history")
def test_history_rewritten_with_the_key_is_found_by_the_lines_of_the_log(database, chain, verify, log_file):
    """An attacker with the audit key and the database can forge a valid chain, but not the lines of the log."""
    from auth_common.audit_log.protection import FIRST_PREVIOUS_MAC, chain_mac  # noqa: PLC0415

    previous = FIRST_PREVIOUS_MAC
    for row in database.execute(select(audit_events).order_by(SEQUENCE)):
        record = row.record.replace("unknown_user", "wrong_password")
        reason = row.reason and "wrong_password"
        mac = chain_mac(previous=previous, chain_id=chain, sequence=row.sequence, record=record)
        change_record(database, row.sequence, record=record, reason=reason, mac=mac)
        previous = mac
    assert verify()[1] == []
    contradicted = dict.fromkeys(range(4, 10), "differs from its log line")
    assert verify(log_file)[1] == findings_of(chain, contradicted)


def test_lines_of_records_after_their_retention_are_ignored(database, chain, verify, log_file, monkeypatch):
    old = int((datetime.now(UTC) - timedelta(days=401)).timestamp() * 1000)
    lines = [json.loads(line[line.index("{") :]) for line in log_file.read_text().splitlines() if '"audit"' in line]
    for line in lines:
        line["security_event"]["time"] = old
    log_file.write_text("\n".join(map(json.dumps, lines)))
    database.execute(delete(audit_events))
    assert verify(log_file)[1:] == ([], "2 records in 1 chains and 0 lines checked: intact")


TAMPERED: list[dict[str, Any]] = [
    *({"record": "[]"}, {"record": '{"personal":[],"detail":1,"path":2}'}, {"record": "[" * 100_000}),
    *({"record": '{"sealed":"no base64"}'}, {"record": '{"sealed":"AAAA"}'}, {"record": '{"detail":{"a":NaN}}'}),
    *({"record": '{"path":"\\ud800"}'}, {"name": "invented"}, {"severity": 9}, {"severity": -9}),
    *({"time": 10**18}, {"time": -1}),
]


@on_each_database
@pytest.mark.parametrize("sequence", [2, 6], ids=["with a user", "without a user"])
def test_tampered_record_stops_no_subcommand(database, chain, capsys, sequence):
    subcommands = [
        ("tail -n 1000", 0, "NOT AS IT WAS WRITTEN"),
        ("export", 3, '"intact": false'),
        ("verify", 3, CHANGED),
    ]
    for values in TAMPERED:
        with changed(database, chain, sequence, **values):
            for command, status, mark in subcommands:
                capsys.readouterr()
                assert main(command.split()) == status, values
                assert capsys.readouterr().out.count(mark) == 1, values
            assert main(["export", "--ocsf"]) == 3, values
            exported, lines = capsys.readouterr()
            assert len(exported.splitlines()) == database.count(audit_events) - 1, values
            assert "1 records are not as they were written, and were left out" in lines


@on_each_database
def test_record_inserted_at_the_next_place_fails_one_login_only(database, chain):
    """An attacker who can insert a record at the next place makes only the next login fail."""
    (row,) = database.execute(select(audit_events).where(SEQUENCE == 9))
    database.execute(insert(audit_events).values(row._asdict() | {"sequence": 10}))
    assert [log_in().status for _ in range(2)] == [503, 200]


@on_each_database
def test_chain_of_a_thousand_records_is_verified(database, chain, verify):
    append_records(1_000)
    assert verify()[2] == "1012 records in 2 chains and 0 lines checked: intact"
    change_record(database, 1_005, reason="wrong_password")
    assert verify()[1] == findings_of(chain, {1005: CHANGED})


@on_each_database
def test_chain_of_an_erased_user_is_intact(chain, verify, log_file):
    erase_user("person@example.com")
    assert verify(log_file)[:2] == (0, [])


def test_verify_reads_lines_from_stdin_which_may_be_named_twice(verify, log_file, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(log_file.read_text()))
    status, findings, summary = verify("-", "-", log_file)
    assert (status, findings, "10 lines checked" in summary) == (0, [], True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(log_file.read_text()))
    assert "10 lines checked" in verify("-")[2]


def test_findings_as_json_are_lines_and_a_summary(database, chain, verify):
    change_record(database, 6, reason="wrong_password")
    status, (finding,), summary = verify("--json")
    assert status == 3
    assert json.loads(finding) == {"chain_id": str(chain), "sequence": 6, "fault": "is not what was written there"}
    assert json.loads(summary) == {"records": 12, "chains": 2, "anchors": 0, "findings": 1}
    change_record(database, 6, reason="unknown_user")
    assert verify("--json")[0] == 0


def test_progress_is_shown_on_a_terminal_only(chain, capsys, monkeypatch):
    for command in ("verify", "export"):
        capsys.readouterr()
        assert main([command]) == 0
        assert "\r" not in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for command, label in (("verify", "records checked"), ("export", "records exported")):
        assert main([command]) == 0
        shown = capsys.readouterr().err
        assert label in shown
        assert shown.endswith("\r\x1b[K")
        assert "{" not in shown
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["export"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("environment")
def test_log_or_folder_that_does_not_exist_is_an_error(monkeypatch, tmp_path, capsys):
    assert main(["verify", "/nonexistent/service.log"]) == 1
    assert "audit: " in capsys.readouterr().err
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "mistyped"))
    start_fresh_environment()
    assert main(["verify"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("audit: there is no folder ")


# --- export -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def export(capsys, chain):
    def run(*arguments):
        capsys.readouterr()
        assert main(["export", *arguments]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_export_is_json_lines(export):
    records = export()
    names = ["sys_startup", "user_created", "authn_login_success", "authn_token_created"]
    assert [record["event"] for record in records[:4]] == names
    assert records[-1]["event"] == "sensitive_read"
    assert (records[-1]["detail"]["target"], records[-1]["reason"]) == ("audit export", "by_operator")
    assert all(record["intact"] for record in records)


def test_export_in_ocsf_has_the_security_events_of_the_log(log_file, export):
    exported = export("--ocsf", "--reason", "unknown_user")
    for event in exported:
        assert len(event["unmapped"].pop("audit_mac")) == 64
        assert schema_errors_of(event) == []
        assert event["metadata"].pop("uid").endswith(f".{event['metadata'].pop('sequence')}")
    lines = [line[line.index("{") :] for line in log_file.read_text().splitlines() if "unknown_user" in line]
    assert exported == [json.loads(line)["security_event"] for line in lines]
    assert len(exported) == 6


@on_each_database
def test_export_of_several_batches_is_complete(export, monkeypatch):
    from auth_common.audit import reading as service  # noqa: PLC0415

    monkeypatch.setattr(service, "BATCH_RECORDS", 3)
    assert len(export("--outcome", "failure")) == 6


EXPORTS = [
    ("--event user_created", 1),
    ("--severity low --outcome failure", 6),
    (f"--ip {SOURCE_IP} --outcome failure", 6),
    ("--ip 192.0.2.1", 0),
    ("--user-id 00000000-0000-0000-0000-000000000007", 0),
    ("--to 2020-01-01T00:00:00Z", 0),
    ("--from 2020-01-01T00:00:00Z --event authn_login_fail", 6),
]


@on_each_database
def test_export_with_filters_returns_their_records(database, export):
    assert [(arguments, len(export(*arguments.split()))) for arguments, _ in EXPORTS] == EXPORTS


@pytest.mark.usefixtures("environment")
def test_wrong_command_line_shows_the_usage(capsys):
    wrong = ["", "delete", "export --from yesterday", "export --from 2026-01-01T00:00:00"]
    for arguments in (*wrong, "tail -n 0", "tail -n 1001", "tail --ip x", "tail --event x"):
        with pytest.raises(SystemExit, match="2"):
            main(arguments.split())
        assert "usage: audit" in capsys.readouterr().err, arguments


# --- tail -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tail(capsys):
    """Run ``tail`` and return its lines."""

    def run(*arguments):
        capsys.readouterr()
        assert main(["tail", *arguments]) == 0
        lines = capsys.readouterr().out.splitlines()
        return [line for line in lines if "--json" in arguments or not line.startswith("{")]

    return run


@pytest.fixture
def follow(tail, monkeypatch):
    """Run ``tail --follow`` for some polls and call ``happen`` before each of them. Return the printed lines."""

    def run(*arguments, happen, polls=3):
        numbers = iter(range(polls))

        def sleep(_seconds):
            number = next(numbers, None)
            if number is None:
                raise KeyboardInterrupt
            happen(number)

        monkeypatch.setattr("tools.operators.audit.sleep", sleep)
        return tail("--follow", *arguments)

    return run


def names(lines):
    return [line.split()[2] for line in lines]


def test_tail_shows_the_newest_events_oldest_first(chain, tail):
    lines = tail("-n", "3")
    assert [line.split()[1:3] for line in lines] == [
        *[["low", "authn_login_fail"]] * 2,
        ["low", "sensitive_read"],
    ]
    assert "reason=unknown_user" in lines[0]
    assert f"ip={SOURCE_IP}" in lines[0]
    events = [json.loads(line)["event"] for line in tail("-n", "3", "--json")]
    assert events == ["authn_login_fail", "sensitive_read", "sensitive_read"]


@pytest.mark.asvs("16.4.1")
@pytest.mark.threat("operator-terminal-escapes")
def test_tail_quotes_and_escapes_hostile_values(chain, tail):
    security_event(SecurityEvent.SENSITIVE_READ, target="x ip=198.51.100.9 NOT AS IT WAS WRITTEN")
    security_event(SecurityEvent.SENSITIVE_READ, target='\x1b[2Kx\n\u202e\x7f"quoted" \\')
    several, hostile, _ = tail("-n", "3")
    assert 'target="x ip=198.51.100.9 NOT AS IT WAS WRITTEN"' in several
    assert hostile.isprintable()
    assert hostile.isascii()
    assert "\\u001b[2Kx" in hostile


def test_tail_names_changed_records_and_erased_fields(database, chain, tail):
    erase_user("person@example.com")
    change_record(database, 9, reason="wrong_password")
    lines = tail("-n", "100")
    assert [line.endswith("NOT AS IT WAS WRITTEN") for line in lines].count(True) == 1
    assert "ip=erased" in next(line for line in lines if "user_created" in line)


def test_tail_is_coloured_on_a_terminal_only(chain, tail, monkeypatch):
    assert "\x1b" not in "".join(tail("-n", "2"))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "\x1b[33m" in "".join(tail("-n", "2"))


@on_each_database
def test_tail_follows_and_shows_each_event_once(chain, follow):
    lines = follow("-n", "1", happen=lambda number: log_in(f"new{number}@example.com"))
    assert names(lines) == ["sensitive_read", *["authn_login_fail"] * 3]


@on_each_database
@pytest.mark.parametrize("statement", range(1, 7))
def test_event_between_any_two_reads_is_shown_once(chain, follow, statement):
    """The event is committed before any of the first six reads, also between the first page and the first poll."""
    reads = itertools.count(1)

    def happen(text, _parameters):
        is_main = threading.current_thread() is threading.main_thread()
        is_read = text.startswith("SELECT audit_events.chain_id") and is_main
        if is_read and next(reads) == statement:
            assert [response.status for response in send_at_once(lambda: log_in("late@example.com"))] == [401]

    with on_each_statement(happen):
        lines = follow("-n", "1", happen=lambda _: None)
    assert names(lines).count("authn_login_fail") == 1


def test_events_while_the_process_was_stopped_are_shown(database, chain, follow, monkeypatch):
    """After Ctrl-Z or the sleep of a laptop, the next poll is minutes later."""

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(minutes=10)

    def happen(_number):
        log_in("nobody@example.com")
        monkeypatch.setattr("tools.operators.audit.datetime", Later)

    assert names(follow("-n", "1", happen=happen)).count("authn_login_fail") >= 1


@pytest.mark.parametrize("seconds", [0, 3600])
def test_follow_with_from_shows_no_earlier_events(chain, follow, seconds):
    start = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    lines = follow("--from", start, happen=lambda _: log_in("new@example.com"), polls=2)
    assert names(lines) == ([] if seconds else ["sensitive_read", *["authn_login_fail"] * 2])


@pytest.mark.threat("audit-filled")
def test_rows_from_the_future_are_shown_once_and_hide_no_event(database, chain, follow):
    def happen(number):
        insert_rows(database, [{"time": 2**62 + number, "sequence": number}])
        log_in("new@example.com")

    insert_rows(database, [{"time": 2**61, "name": "old"}] * 1)
    lines = follow("-n", "1", happen=happen)
    assert [line.endswith("NOT AS IT WAS WRITTEN") for line in lines].count(True) == 3
    assert names(lines).count("authn_login_fail") == 6


@pytest.mark.parametrize(("command", "status"), [("export", 141), ("tail", 141), ("verify", 0)])
def test_output_into_a_closed_pipe_prints_no_error(chain, command, status):
    """As in `audit tail | head`. A verification is complete before its first line, so its status is 0."""
    with closed_pipe() as pipe:
        done = run_project_command(f"audit {command}", stdout=pipe)
    assert (done.returncode, "ipe" in done.stderr, "Traceback" in done.stderr) == (status, False, False)


@pytest.mark.threat("operator-denies-command")
def test_operator_of_a_command_is_the_user_that_the_system_names(chain, monkeypatch, tail):
    """An operator can set USER and LOGNAME to any name (ASVS 16.2.1)."""
    for name in ("USER", "LOGNAME"):
        monkeypatch.setenv(name, "another-user")
    tail()
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)
    by_name, by_number = tail("-n", "2")
    assert f"operator={pwd.getpwuid(os.geteuid()).pw_name}" in by_name
    assert "operator=4000000001" in by_number


ODD_PLACES: list[dict[str, Any]] = [
    *({"sequence": math.inf}, {"sequence": "1" * 5_000}, {"mac": "not hexadecimal"}, {"mac": "zz" * 32}),
    *({"chain": "no-uuid"}, {"chain": None}),
]


def test_line_of_another_program_is_ignored(verify, database, chain, log_file):
    """The line is about a missing record, whose MAC the command looks up in the log."""
    database.execute(delete(audit_events).where(audit_events.c.sequence == 3))
    forged = log_file.with_name("forged.log")
    time = int(datetime.now(UTC).timestamp() * 1000)
    for odd in ODD_PLACES:
        place = {"chain": str(chain), "sequence": 3, "mac": "00" * 32} | odd
        forged.write_text(json.dumps({"audit": place, "security_event": {"time": time}}) + "\n")
        status, findings, _ = verify(forged)
        assert status == 3, odd
        assert any("record 3: is missing" in finding for finding in findings), odd


@pytest.mark.parametrize(("command", "status"), [("verify", 130), ("export", 130), ("tail", 0)])
def test_interrupted_command_has_an_exit_status_of_its_own(chain, monkeypatch, command, status):
    """An interrupted verification must not look like an intact log."""

    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.stdout, "write", interrupt)
    assert main([command]) == status


def test_verify_of_a_changed_log_into_a_closed_pipe_reports_it(database, chain):
    database.execute(delete(audit_events).where(audit_events.c.sequence == 1))
    with closed_pipe() as pipe:
        assert run_project_command("audit verify", stdout=pipe).returncode == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
@pytest.mark.parametrize("command", ["audit export", "audit verify", "accounts disable person@example.com"])
def test_output_onto_a_full_disk_is_an_error_with_its_reason(chain, command):
    with Path("/dev/full").open("w") as full:
        done = run_project_command(command, stdout=full)
    assert (done.returncode, "Traceback" in done.stderr, "No space left" in done.stderr) == (1, False, True)
