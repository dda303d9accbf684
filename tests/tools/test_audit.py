"""``uv run audit``: what tampering it finds, what it shows, what it exports."""

import hmac
import io
import itertools
import json
import math
import os
import pwd
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, insert, select, text, update

from auth_common.db.tables import audit_events, audit_salts
from auth_common.monitoring.security_events import SecurityEvent, security_event
from auth_common.security.keyed_hashes import source_index
from auth_common.services.accounts import unlock_user
from auth_common.services.erasure import erase_user
from tests.support.databases import start_fresh_environment
from tests.support.event_schema import faults_of
from tests.support.events import SOURCE_IP
from tests.support.factories import log_in, sign_up
from tests.support.hostile_rows import insert_rows
from tests.support.outages import watched
from tests.support.races import together
from tools.audit import main

pytestmark = [pytest.mark.audit, pytest.mark.sqlite]

PROJECT = Path(__file__).parents[2]
SEQUENCE = audit_events.c.sequence


#: What depends on how a database stores and sorts.
in_production_too = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def chain(database, log_lines):
    """One chain: begun, created, logged in, tokens issued, six failures."""
    sign_up()
    for _ in range(6):
        log_in("nobody@example.com")
    (row,) = database.execute(select(audit_events.c.chain_id).distinct())
    return row.chain_id


@pytest.fixture
def log_file(chain, log_lines, tmp_path):
    """What the functions wrote meanwhile, among other things, as CloudWatch or a terminal may show it."""
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


def at(database, sequence, **values):
    """Change a record."""
    database.execute(update(audit_events).where(SEQUENCE.in_([sequence])).values(**values))


def lengthen(count):
    """Append records to the chain of this environment."""
    for _ in range(count):
        security_event(SecurityEvent.AUTHN_LOGIN_FAIL, reason="unknown_user", account="somebody")


@contextmanager
def changed(database, chain, sequence, **values):
    """Change a record of ``chain`` while the block runs."""
    place = (audit_events.c.chain_id == chain) & (sequence == SEQUENCE)
    (row,) = database.execute(select(audit_events).where(place))
    database.execute(update(audit_events).where(place).values(**values))
    yield
    database.execute(update(audit_events).where(place).values(**{name: getattr(row, name) for name in values}))


# --- verify -----------------------------------------------------------------------------------------------------------


@in_production_too
def test_a_log_that_nobody_has_touched_is_intact(verify, log_file):
    status, findings, summary = verify(log_file)
    # The command's own reading is a chain too: its beginning and the reading itself.
    assert (status, findings) == (0, [])
    assert summary == "12 records in 2 chains and 10 lines checked: intact"


CHANGES: list[dict[str, Any]] = [
    {"record": "{}"},
    {"record": "not JSON"},
    {"mac": b"\x01" * 32},
    {"reason": "wrong_password"},
    {"source": b"\x01" * 16},
    {"source": None},
    {"name": "user_created"},
    {"outcome": "success"},
    {"severity": 5},
    {"time": 1_800_000_000_000},
]


@pytest.mark.threat("audit-changed-record")
@in_production_too
def test_changed_record_is_found_and_no_other_is_suspected(database, chain, verify):
    for values in CHANGES:
        with changed(database, chain, 6, **values):
            status, findings, _ = verify()
        assert (status, findings) == (3, [f"chain {chain}, record 6: is not what was written there"]), values
    assert verify()[:2] == (0, [])


@in_production_too
@pytest.mark.threat("audit-changed-record")
def test_a_deleted_record_is_found(database, chain, verify):
    database.execute(delete(audit_events).where(SEQUENCE == 5))
    status, findings, _ = verify()
    assert (status, findings) == (
        3,
        [
            f"chain {chain}, record 5: is missing",
            f"chain {chain}, record 6: cannot be checked, for the one before it is missing",
        ],
    )


def test_a_record_behind_a_deleted_one_is_checked_with_the_line_of_the_deleted_one(database, chain, verify, log_file):
    database.execute(delete(audit_events).where(SEQUENCE == 5))
    assert verify(log_file)[1] == [f"chain {chain}, record 5: is missing"]
    at(database, 6, reason="wrong_password")
    assert verify(log_file)[1] == [
        f"chain {chain}, record 5: is missing",
        f"chain {chain}, record 6: is not what was written there",
    ]


def test_several_deleted_records_are_one_finding(database, chain, verify):
    database.execute(delete(audit_events).where(SEQUENCE.between(5, 7)))
    assert verify()[1] == [
        f"chain {chain}, record 5: is missing, and all up to 7",
        f"chain {chain}, record 8: cannot be checked, for the one before it is missing",
    ]


def test_the_beginning_of_a_chain_cannot_be_deleted(database, chain, verify):
    database.execute(delete(audit_events).where(SEQUENCE < 2))
    assert verify()[1] == [
        f"chain {chain}, record 0: is missing, and all up to 1",
        f"chain {chain}, record 2: cannot be checked, for the one before it is missing",
    ]


def test_chain_of_changed_records_is_told_record_by_record(database, chain, verify):
    lengthen(20)
    database.execute(update(audit_events).where(SEQUENCE > 3).values(reason="changed"))
    assert verify()[1] == [f"chain {chain}, record {n}: is not what was written there" for n in range(4, 30)]


OTHER_SALT = b"\x01" * 32
OTHER_USER = UUID(int=7)
#: One change each, of a record of a user who still exists or of what opens its personal fields.
REATTRIBUTED: dict[str, Callable[[], dict[str, Any]]] = {
    "another client IP": lambda: {"source": source_index("198.51.100.9")},
    "no client IP": lambda: {"source": None},
    "another user": lambda: {"user_id": OTHER_USER},
    "no user": lambda: {"user_id": None},
    "another time": lambda: {"time": 1_800_000_000_000},
    "another event": lambda: {"name": "authn_login_fail"},
    "another outcome": lambda: {"outcome": "failure"},
    "another severity": lambda: {"severity": 5},
    "another reason": lambda: {"reason": "unknown_user"},
    "another chain": lambda: {"chain_id": UUID(int=9)},
    "another place": lambda: {"sequence": 1_000},
    "another record": lambda: {"record": "{}"},
    "another MAC": lambda: {"mac": b"\x01" * 32},
}


@pytest.mark.threat("audit-changed-record")
@in_production_too
@pytest.mark.parametrize("column", REATTRIBUTED)
def test_each_changed_column_of_a_users_record_is_found(database, chain, verify, column):
    database.execute(update(audit_events).where(SEQUENCE == 2).values(**REATTRIBUTED[column]()))
    status, findings, _ = verify()
    assert status == 3
    assert any(f"chain {chain}, record 2: " in finding for finding in findings)
    assert not any(f"chain {chain}, record {sequence}: " in finding for finding in findings for sequence in (0, 1))


SALTS = {
    "replaced": update(audit_salts).values(salt=OTHER_SALT),
    "emptied": update(audit_salts).values(salt=b""),
    "deleted": delete(audit_salts),
    "given to another": update(audit_salts).values(user_id=OTHER_USER),
}


@pytest.mark.threat("audit-changed-record")
@in_production_too
@pytest.mark.parametrize("change", SALTS)
def test_changed_salt_of_an_existing_user_is_found(database, chain, verify, capsys, change):
    """Without it the personal fields of each record are lost, as after an erasure."""
    database.execute(SALTS[change])
    status, findings, _ = verify()
    assert status == 3
    assert [finding.split(": ")[0] for finding in findings] == [f"chain {chain}, record {n}" for n in (1, 2, 3)]
    main(["export", "--outcome", "success", "--to", "2100-01-01T00:00:00Z", "--event", "user_created"])
    (exported,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (exported["intact"], exported["erased"], exported["source_ip"]) == (False, False, None)


def test_client_ip_added_to_a_record_without_one_is_found(database, chain, verify):
    """A command of an operator has no client IP."""
    main(["export", "--outcome", "failure"])
    unlock_user("person@example.com")
    of_operator = audit_events.c.reason == "unlocked_by_operator"
    database.execute(update(audit_events).where(of_operator).values(source=b"\x01" * 16))
    assert verify()[0] == 3


@pytest.mark.threat("audit-filled")
@pytest.mark.parametrize("size", [100, 16_000, 200_000], ids=str)
def test_verification_of_bogus_rows_takes_linear_work(database, verify, monkeypatch, size):
    """Counted in MACs and in bytes that go into them. Each row is wrong, and none was moved."""
    work: Counter[str] = Counter()
    digest = hmac.digest

    def counting(key, message, algorithm):
        work["MACs"] += 1
        work["bytes"] += len(message)
        return digest(key, message, algorithm)

    def cost(rows):
        chain = UUID(int=rows)
        record = json.dumps({"detail": {"a": "x" * size}})
        insert_rows(database, [{"chain_id": chain, "sequence": n, "record": record} for n in range(rows)])
        work.clear()
        assert verify()[0] == 3
        return work.copy()

    monkeypatch.setattr(hmac, "digest", counting)
    few, many = cost(100), cost(400)
    assert many["MACs"] < 10 * 500
    assert many["bytes"] < 10 * 500 * 17_000
    assert many["MACs"] < 8 * few["MACs"]


@pytest.mark.threat("audit-filled")
def test_verification_of_many_chains_with_moved_records_has_a_budget(database, verify, monkeypatch):
    """Where records came from is looked for in ten places of a chain, but not in any number of chains."""
    computed: Counter[str] = Counter()
    digest = hmac.digest

    def counting(key, message, algorithm):
        computed["MACs"] += 1
        return digest(key, message, algorithm)

    chains = [UUID(int=number) for number in range(1, 101)]
    insert_rows(database, [{"chain_id": chain, "sequence": n} for chain in chains for n in range(10)])
    monkeypatch.setattr(hmac, "digest", counting)
    status, findings, _ = verify()
    assert (status, len(findings)) == (3, 1_000)
    assert computed["MACs"] < 20_000


def test_many_changed_records_do_not_accuse_those_behind_them(database, chain, verify):
    lengthen(20)
    places = range(4, 29, 2)
    database.execute(update(audit_events).where(SEQUENCE.in_(places)).values(mac=b"\x01" * 32))
    assert verify()[1] == [f"chain {chain}, record {n}: is not what was written there" for n in places]


def test_value_of_another_type_is_a_finding_too(database, chain, verify):
    """SQLite stores what it is given, whatever the column's type."""
    (row,) = database.execute(select(audit_events).where(SEQUENCE == 6))
    restored = {"mac": row.mac, "user_id": row.user_id, "record": row.record, "severity": row.severity}
    for change in ("mac = 'zz'", "user_id = 'junk'", "record = x'00'", "severity = 'zz'"):
        database.execute(text(f"UPDATE audit_events SET {change} WHERE sequence = 6 AND name = 'authn_login_fail'"))
        status, findings, _ = verify()
        assert (status, len(findings)) == (3, 1), change
        place = (audit_events.c.name == "authn_login_fail") & (SEQUENCE == 6)
        database.execute(update(audit_events).where(place).values(**restored))


def test_lines_that_contradict_each_other_are_a_finding(chain, verify, log_file):
    lines = log_file.read_text()
    last = [line for line in lines.splitlines() if '"audit"' in line][-1]
    mac = json.loads(last[last.index("{") :])["audit"]["mac"]
    log_file.write_text(lines + last.replace(mac, "0" * 64) + "\n")
    assert verify(log_file)[1] == [f"chain {chain}, record 9: has two lines that contradict each other"]


def test_an_export_in_ocsf_vouches_too(database, chain, verify, capsys, tmp_path):
    capsys.readouterr()
    main(["export", "--ocsf"])
    (tmp_path / "export.jsonl").write_text(capsys.readouterr().out)
    database.execute(delete(audit_events).where(SEQUENCE >= 8, audit_events.c.chain_id == chain))
    findings = verify(tmp_path / "export.jsonl")[1]
    assert [finding.partition(": ")[2][:11] for finding in findings] == ["was cut off"] * len(findings)
    assert len(findings) >= 2


@in_production_too
@pytest.mark.threat("audit-changed-record")
def test_records_in_another_order_are_found_with_where_they_came_from(database, chain, verify):
    for old, new in ((5, 1000), (7, 5), (1000, 7)):
        database.execute(update(audit_events).where(SEQUENCE.in_([old])).values(sequence=new))
    assert verify()[1] == [
        f"chain {chain}, record 5: was moved: it was written as record 7",
        f"chain {chain}, record 7: was moved: it was written as record 5",
    ]


@in_production_too
def test_a_record_that_was_copied_is_found(database, chain, verify):
    """Copied to the end, where no gap would show."""
    (row,) = database.execute(select(audit_events).where(SEQUENCE == 5))
    database.execute(insert(audit_events).values(row._asdict() | {"sequence": 10}))
    assert verify()[1] == [f"chain {chain}, record 10: is not what was written there"]


def test_a_record_before_the_first_is_found(database, chain, verify):
    (row,) = database.execute(select(audit_events).where(SEQUENCE == 5))
    database.execute(insert(audit_events).values(row._asdict() | {"sequence": -1}))
    assert verify()[1] == [f"chain {chain}, record -1: is not what was written there"]


@in_production_too
@pytest.mark.threat("audit-cut-chain")
def test_a_cut_tail_is_found_by_the_lines_of_the_log(database, chain, verify, log_file):
    database.execute(delete(audit_events).where(SEQUENCE >= 8))
    assert verify()[1] == []
    assert verify(log_file)[1] == [
        f"chain {chain}, record {sequence}: was cut off the end: a line of the log vouches for it"
        for sequence in (8, 9)
    ]


@pytest.mark.threat("audit-cut-chain")
def test_a_chain_that_is_gone_is_found_by_the_lines_of_the_log(database, chain, verify, log_file):
    database.execute(delete(audit_events))
    status, findings, _ = verify(log_file)
    assert (status, len(findings)) == (3, 10)


@in_production_too
@pytest.mark.threat("audit-rewritten-history")
def test_a_history_rewritten_with_the_key_is_found_by_the_lines_of_the_log(database, chain, verify, log_file):
    """Whoever has the audit key and the database can forge a chain that holds; not the log that is elsewhere."""
    from auth_common.security.audit_protection import FIRST_PREVIOUS_MAC, chain_mac  # noqa: PLC0415

    previous = FIRST_PREVIOUS_MAC
    for row in database.execute(select(audit_events).order_by(SEQUENCE)):
        record = row.record.replace("unknown_user", "wrong_password")
        reason = row.reason and "wrong_password"
        mac = chain_mac(previous=previous, chain_id=chain, sequence=row.sequence, record=record)
        at(database, row.sequence, record=record, reason=reason, mac=mac)
        previous = mac
    assert verify()[1] == []
    assert verify(log_file)[1] == [
        f"chain {chain}, record {sequence}: is not the one that a line of the log vouches for"
        for sequence in range(4, 10)
    ]


def test_lines_of_records_past_their_retention_vouch_for_nothing(database, chain, verify, log_file, monkeypatch):
    old = int((datetime.now(UTC) - timedelta(days=401)).timestamp() * 1000)
    lines = [json.loads(line[line.index("{") :]) for line in log_file.read_text().splitlines() if '"audit"' in line]
    for line in lines:
        line["security_event"]["time"] = old
    log_file.write_text("\n".join(map(json.dumps, lines)))
    database.execute(delete(audit_events))
    assert verify(log_file)[1:] == ([], "2 records in 1 chains and 0 lines checked: intact")


TAMPERED: list[dict[str, Any]] = [
    {"record": "[]"},
    {"record": '{"personal":[],"detail":1,"path":2}'},
    {"record": '{"sealed":"no base64"}'},
    {"record": '{"sealed":"AAAA"}'},
    {"name": "invented"},
    {"severity": 9},
    {"severity": -9},
    {"time": 10**18},
    {"time": -1},
    {"record": "[" * 100_000},
    {"record": '{"detail":{"a":NaN}}'},
    {"record": '{"path":"\\ud800"}'},
]


@in_production_too
@pytest.mark.parametrize("sequence", [2, 6], ids=["a user's", "nobody's"])
def test_tampered_record_stops_no_reader(database, chain, capsys, sequence):
    for values in TAMPERED:
        with changed(database, chain, sequence, **values):
            capsys.readouterr()
            assert main(["tail", "-n", "1000"]) == 0, values
            assert capsys.readouterr().out.count("NOT AS IT WAS WRITTEN") == 1, values
            assert main(["export"]) == 3, values
            assert capsys.readouterr().out.count('"intact": false') == 1, values
            assert main(["export", "--ocsf"]) == 3, values
            exported, lines = capsys.readouterr()
            assert len(exported.splitlines()) == database.count(audit_events) - 1, values
            assert "1 records are not as they were written, and were left out" in lines
            assert main(["verify"]) == 3, values


@in_production_too
def test_somebody_else_in_our_place_costs_a_chain_and_no_traceback(database, chain):
    """Who can write to the database can take the next place; the login then fails, and the one after it succeeds."""
    (row,) = database.execute(select(audit_events).where(SEQUENCE == 9))
    database.execute(insert(audit_events).values(row._asdict() | {"sequence": 10}))
    assert [log_in().status for _ in range(2)] == [503, 200]


@in_production_too
def test_chain_of_a_thousand_records_is_verified_as_a_whole(database, chain, verify):
    lengthen(1_000)
    assert verify()[2] == "1012 records in 2 chains and 0 lines checked: intact"
    at(database, 1_005, reason="wrong_password")
    assert verify()[1] == [f"chain {chain}, record 1005: is not what was written there"]


@in_production_too
def test_an_erased_person_breaks_no_chain(chain, verify, log_file):
    erase_user("person@example.com")
    assert verify(log_file)[:2] == (0, [])


def test_lines_come_from_standard_input_too(verify, log_file, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(log_file.read_text()))
    assert "10 lines checked" in verify("-")[2]


def test_standard_input_may_be_named_twice(verify, log_file, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(log_file.read_text()))
    status, findings, summary = verify("-", "-", log_file)
    assert (status, findings, "10 lines checked" in summary) == (0, [], True)


def test_findings_as_json_are_lines_and_a_summary(database, chain, verify):
    at(database, 6, reason="wrong_password")
    status, (finding,), summary = verify("--json")
    assert status == 3
    assert json.loads(finding) == {"chain_id": str(chain), "sequence": 6, "fault": "is not what was written there"}
    assert json.loads(summary) == {"records": 12, "chains": 2, "anchors": 0, "findings": 1}
    at(database, 6, reason="unknown_user")
    assert verify("--json")[0] == 0


def test_progress_is_shown_on_a_terminal_only(chain, capsys, monkeypatch):
    for command in ("verify", "export"):
        capsys.readouterr()
        assert main([command]) == 0
        assert "\r" not in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("tools.operation._PROGRESS_EVERY", 0)
    for command, what in (("verify", "records checked"), ("export", "records exported")):
        assert main([command]) == 0
        shown = capsys.readouterr().err
        assert what in shown
        assert shown.endswith("\r\x1b[K")
        assert "{" not in shown
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["export"]) == 0
    assert capsys.readouterr().err == ""


def test_a_log_that_is_not_there_is_said_not_to_be_there(chain, capsys):
    assert main(["verify", "/nonexistent/service.log"]) == 1
    assert "audit: " in capsys.readouterr().err


@pytest.mark.usefixtures("environment")
def test_without_the_data_folder_it_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "mistyped"))
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


def test_an_export_is_json_lines_and_nothing_else(export):
    records = export()
    assert [record["event"] for record in records[:4]] == [
        "sys_startup",
        "user_created",
        "authn_login_success",
        "authn_token_created",
    ]
    assert records[-1]["event"] == "sensitive_read"
    assert (records[-1]["detail"]["target"], records[-1]["reason"]) == ("audit export", "by_operator")
    assert all(record["intact"] for record in records)


def test_an_export_in_ocsf_is_what_the_log_said(log_file, export):
    exported = export("--ocsf", "--reason", "unknown_user")
    for event in exported:
        assert len(event["unmapped"].pop("audit_mac")) == 64
        assert faults_of(event) == []
        assert event["metadata"].pop("uid").endswith(f".{event['metadata'].pop('sequence')}")
    lines = [line[line.index("{") :] for line in log_file.read_text().splitlines() if "unknown_user" in line]
    assert exported == [json.loads(line)["security_event"] for line in lines]
    assert len(exported) == 6


@in_production_too
def test_an_export_goes_on_from_batch_to_batch(export, monkeypatch):
    from auth_common.services import audit as service  # noqa: PLC0415

    monkeypatch.setattr(service, "BATCH", 3)
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


@in_production_too
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


def test_tail_shows_the_newest_events_oldest_first(chain, capsys):
    capsys.readouterr()
    assert main(["tail", "-n", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:3] for line in lines] == [
        ["low", "authn_login_fail"],
        ["low", "authn_login_fail"],
        ["low", "sensitive_read"],
    ]
    assert "reason=unknown_user" in lines[0]
    assert f"ip={SOURCE_IP}" in lines[0]


def test_tail_lets_no_value_pass_for_several(chain, capsys):
    security_event(SecurityEvent.SENSITIVE_READ, target="x ip=198.51.100.9 NOT AS IT WAS WRITTEN")
    capsys.readouterr()
    main(["tail", "-n", "2"])
    assert 'target="x ip=198.51.100.9 NOT AS IT WAS WRITTEN"' in capsys.readouterr().out


@pytest.mark.asvs("16.4.1")
@pytest.mark.threat("operator-terminal-escapes")
def test_tail_obeys_no_escape_sequence_that_somebody_has_sent(chain, capsys):
    security_event(SecurityEvent.SENSITIVE_READ, target='\x1b[2Kx\n\u202e\x7f"quoted" \\')
    capsys.readouterr()
    main(["tail", "-n", "2"])
    hostile = capsys.readouterr().out.splitlines()[0]
    assert hostile.isprintable()
    assert hostile.isascii()
    assert "\\u001b[2Kx" in hostile


def test_tail_says_what_was_changed_and_what_was_erased(database, chain, capsys):
    erase_user("person@example.com")
    at(database, 9, reason="wrong_password")
    capsys.readouterr()
    main(["tail", "-n", "100"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith("NOT AS IT WAS WRITTEN") for line in lines].count(True) == 1
    assert "ip=erased" in next(line for line in lines if "user_created" in line)


def test_tail_is_coloured_on_a_terminal_only(chain, capsys, monkeypatch):
    capsys.readouterr()
    main(["tail", "-n", "2"])
    assert "\x1b" not in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    main(["tail", "-n", "2"])
    assert "\x1b[33m" in capsys.readouterr().out


@in_production_too
def test_tail_follows_and_shows_each_event_once(chain, capsys, monkeypatch):
    capsys.readouterr()
    polls = iter(range(3))

    def while_it_waits(_seconds):
        try:
            log_in(f"new{next(polls)}@example.com")
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr("tools.audit.sleep", while_it_waits)
    assert main(["tail", "--follow", "-n", "1"]) == 0
    out = capsys.readouterr().out
    lines = [line.split()[2] for line in out.splitlines() if not line.startswith("{")]
    assert lines == ["sensitive_read", "authn_login_fail", "authn_login_fail", "authn_login_fail"]


@in_production_too
@pytest.mark.parametrize("statement", range(1, 7))
def test_event_at_any_moment_is_followed_once(chain, capsys, monkeypatch, statement):
    """Also between the reads of the beginning: after a page was read, and before what comes next is looked for."""
    reads = itertools.count(1)

    def happen(text, _parameters):
        is_read = (
            text.startswith("SELECT audit_events.chain_id") and threading.current_thread() is threading.main_thread()
        )
        if is_read and next(reads) == statement:
            assert [answer.status for answer in together(lambda: log_in("late@example.com"))] == [401]

    polls = iter(range(3))

    def while_it_waits(_seconds):
        if next(polls, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr("tools.audit.sleep", while_it_waits)
    capsys.readouterr()
    with watched(happen):
        assert main(["tail", "--follow", "-n", "1"]) == 0
    lines = [line.split()[2] for line in capsys.readouterr().out.splitlines() if not line.startswith("{")]
    assert lines.count("authn_login_fail") == 1


def test_events_while_the_process_was_stopped_are_followed(database, chain, capsys, monkeypatch):
    """As by Ctrl-Z, or a laptop that sleeps: the next poll comes minutes later."""
    polls = iter(range(3))

    def while_it_waits(_seconds):
        if next(polls, None) is None:
            raise KeyboardInterrupt
        log_in("nobody@example.com")
        monkeypatch.setattr("tools.audit.datetime", Later)

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(minutes=10)

    monkeypatch.setattr("tools.audit.sleep", while_it_waits)
    capsys.readouterr()
    assert main(["tail", "--follow", "-n", "1"]) == 0
    lines = [line.split()[2] for line in capsys.readouterr().out.splitlines() if not line.startswith("{")]
    assert lines.count("authn_login_fail") >= 1


@pytest.mark.parametrize("seconds", [-10, 3600])
def test_follow_shows_nothing_from_before_the_time_that_was_asked_for(chain, capsys, monkeypatch, seconds):
    start = (datetime.now(UTC) + timedelta(seconds=abs(seconds) if seconds > 0 else 0)).isoformat()
    polls = iter(range(2))

    def while_it_waits(_seconds):
        if next(polls, None) is None:
            raise KeyboardInterrupt
        log_in("new@example.com")

    monkeypatch.setattr("tools.audit.sleep", while_it_waits)
    capsys.readouterr()
    assert main(["tail", "--follow", "--from", start]) == 0
    lines = [line.split()[2] for line in capsys.readouterr().out.splitlines() if not line.startswith("{")]
    assert lines == ([] if seconds > 0 else ["sensitive_read", "authn_login_fail", "authn_login_fail"])


@pytest.mark.threat("audit-filled")
def test_rows_from_the_future_are_followed_once_and_hide_nothing(database, chain, capsys, monkeypatch):
    polls = iter(range(3))

    def while_it_waits(_seconds):
        number = next(polls, None)
        if number is None:
            raise KeyboardInterrupt
        insert_rows(database, [{"time": 2**62 + number, "sequence": number}])
        log_in("new@example.com")

    insert_rows(database, [{"time": 2**61, "name": "old"}] * 1)
    monkeypatch.setattr("tools.audit.sleep", while_it_waits)
    capsys.readouterr()
    assert main(["tail", "--follow", "-n", "1"]) == 0
    out = capsys.readouterr().out
    assert out.count("NOT AS IT WAS WRITTEN") == 3
    assert [line.split()[2] for line in out.splitlines() if not line.startswith("{")].count("authn_login_fail") == 6


def test_tail_as_json_is_json_lines(chain, capsys):
    capsys.readouterr()
    assert main(["tail", "-n", "3", "--json"]) == 0
    events = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert events == ["authn_login_fail", "authn_login_fail", "sensitive_read"]


def test_the_installed_command_works(chain):
    command = Path(sys.executable).with_name("audit")
    done = subprocess.run([command, "verify"], cwd=PROJECT, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("checked: intact\n")


@pytest.mark.parametrize("command", ["export", "tail", "verify"])
def test_output_into_a_pipe_that_is_closed_ends_quietly(chain, command):
    """As into `head`."""
    command = [str(Path(sys.executable).with_name("audit")), command]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command, cwd=PROJECT, env=os.environ, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert done.returncode == 1
    assert "ipe" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.threat("operator-denies-command")
def test_who_runs_a_command_is_asked_of_the_system(chain, monkeypatch, capsys):
    """ASVS 16.2.1: USER and LOGNAME say whatever one likes."""
    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    main(["tail"])
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)
    capsys.readouterr()
    main(["tail", "-n", "2"])
    by_name, by_number = capsys.readouterr().out.splitlines()
    assert f"operator={pwd.getpwuid(os.geteuid()).pw_name}" in by_name
    assert "operator=4000000001" in by_number


ODD_PLACES: list[dict[str, Any]] = [
    {"sequence": math.inf},
    {"sequence": "1" * 5_000},
    {"mac": "not hexadecimal"},
    {"mac": "zz" * 32},
    {"chain": "nobody"},
    {"chain": None},
]


def test_line_of_another_program_is_ignored(verify, database, chain, log_file):
    """Also if the line is about a record after a missing one, whose MAC is looked up in the log."""
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
def test_interrupted_command_says_so(chain, monkeypatch, command, status):
    """An interrupted verification must not look like an intact log."""

    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.stdout, "write", interrupt)
    assert main([command]) == status


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
@pytest.mark.parametrize(("command", "status"), [("audit export", 1), ("accounts disable person@example.com", 0)])
def test_output_onto_a_full_disk_ends_with_its_reason(chain, command, status):
    name, *arguments = command.split()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [Path(sys.executable).with_name(name), *arguments],
            cwd=PROJECT,
            env=os.environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, "Traceback" in done.stderr, "No space left" in done.stderr) == (status, False, True)
