"""An attacker who can insert rows into the audit log must not be able to keep the security team from reading it."""

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from auth_common.audit.reading import PAGE_SIZE
from auth_common.database.tables import audit_events
from auth_common.events.vocabulary import SecurityEvent
from tests.support.auditors import auditor_token, read_all_events, read_events, read_summary
from tests.support.events import SOURCE_IP
from tests.support.factories import log_in, sign_up
from tests.support.hostile_rows import insert_hostile_rows, insert_rows
from tools.operators.audit import main

pytestmark = [pytest.mark.audit, pytest.mark.threat("audit-changed-record")]

YEAR = 365 * 24 * 3600 * 1000
NOW = time.time_ns() // 1_000_000


@pytest.fixture
def auditor(database):
    return auditor_token()


def genuine(events):
    return [event["id"] for event in events if event["chain"]["intact"]]


def test_hostile_rows_are_shown_as_not_intact_and_hide_no_other(database, auditor):
    sign_up()
    log_in("nobody@example.com")
    before = read_all_events(auditor)
    inserted = insert_hostile_rows(database)
    events = read_all_events(auditor)
    assert [event["chain"]["intact"] for event in events].count(False) == inserted
    assert len({event["id"] for event in events}) == len(events)
    assert set(genuine(before)) <= set(genuine(events))


def test_hostile_row_can_be_the_last_of_a_page(database, auditor, monkeypatch):
    log_in("nobody@example.com")
    inserted = insert_hostile_rows(database)
    ids = [event["id"] for event in read_all_events(auditor)]
    monkeypatch.setattr("auth_common.audit.reading.PAGE_SIZE", 2)
    one_by_one = [event["id"] for event in read_all_events(auditor, to=datetime.now(UTC).isoformat())]
    in_two_days = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    one_by_one += [event["id"] for event in read_all_events(auditor, **{"from": in_two_days})]
    assert len(one_by_one) == len(set(one_by_one))
    monkeypatch.setattr("auth_common.audit.reading.PAGE_SIZE", 7)
    again = [event["id"] for event in read_all_events(auditor)]
    assert len(again) == len(set(again))
    assert set(ids) <= set(again)
    assert inserted < len(again)


FILTERS = [
    {"event": "authn_login_fail"},
    {"outcome": "failure"},
    {"severity": "low"},
    {"severity": "critical"},
    {"user_id": str(UUID(int=7))},
    {"ip": SOURCE_IP},
    {"reason": "unknown_user"},
    {"except_reason": "unknown_user"},
    {"from": "2020-01-01T00:00:00Z"},
    {"to": "2199-01-01T00:00:00Z"},
    {"from": "2199-01-01T00:00:00Z"},
]


def test_filter_over_hostile_rows_returns_the_genuine_records(database, auditor):
    log_in("nobody@example.com")
    before = [genuine(read_all_events(auditor, **asked)) for asked in FILTERS]
    insert_hostile_rows(database)
    for asked, ids in zip(FILTERS, before, strict=True):
        assert set(ids) <= set(genuine(read_all_events(auditor, **asked))), asked


def test_summary_over_hostile_rows_counts_the_genuine_records(database, auditor):
    for _ in range(3):
        log_in("nobody@example.com")
    insert_hostile_rows(database)
    forged = json.dumps({"personal": {"source_ip": "192.0.2.1"}})
    insert_rows(database, [{"name": f"invented_{number}", "record": forged} for number in range(200)])
    now = datetime.now(UTC)
    for span in ({}, {"from": (now - timedelta(hours=1)).isoformat(), "to": (now + timedelta(days=300)).isoformat()}):
        answer = read_summary(auditor, **span)
        assert answer.status == 200, answer.text
        summary = answer.json
        assert sum(bar["count"] for bar in summary["series"] if bar["event"] == "authn_login_fail") >= 3
        assert {bar["event"] for bar in summary["series"]} <= {*SecurityEvent, "unknown"}
        assert SOURCE_IP in [source["value"] for source in summary["sources"]]


def test_inserted_record_does_not_rename_a_client_ip(database, auditor):
    """The summary finds a client IP by decrypting one of its records."""
    log_in("nobody@example.com")
    of_nobody = audit_events.c.reason == "unknown_user"
    ((source,),) = database.execute(select(audit_events.c.source).where(of_nobody))
    forged = json.dumps({"personal": {"source_ip": "192.0.2.66"}})
    later = time.time_ns() // 1_000_000 + 1
    insert_rows(database, [{"source": source, "record": forged, "time": later}] * 3)
    in_an_hour = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert read_summary(auditor, to=in_an_hour).json["sources"][0]["value"] == SOURCE_IP


def test_rows_from_the_future_do_not_hide_the_newest_event(database, auditor):
    insert_rows(database, [{"time": NOW + number * YEAR} for number in range(1, PAGE_SIZE + 11)])
    log_in("nobody@example.com")
    assert read_events(auditor).json["items"][0]["event"] == "authn_login_fail"
    assert read_events(auditor).json["items"][0]["chain"]["intact"] is True
    assert [event["chain"]["intact"] for event in read_all_events(auditor)].count(False) == PAGE_SIZE + 10


def test_forged_cursor_is_rejected_or_returns_a_page(database, auditor):
    odd = ["~ i1 t7a i1", "~ t7a bff f0x1p3", "~ i-5 u" + "0" * 32 + " i-1", "~ fnan i1 i1", "~ finf i1 i1"]
    bad = ["~", "~ i1", "~ i1 i1 i1 i1", f"~ i{2**63} i1 i1", "~ x1 y1 z1", "~ tff t t", "~ ux ux ux", "~ i1  i1"]
    for place in (*odd, *bad):
        answer = read_events(auditor, cursor=base64.urlsafe_b64encode(place.encode()).decode())
        assert answer.status == 422 or (answer.status == 200 and place in odd), place
        assert answer.status == 200 or answer.fields == {"cursor"}


def run(capsys, *arguments):
    capsys.readouterr()
    status = main([*arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return status, out


def test_operator_commands_read_past_hostile_rows(database, capsys):
    sign_up()
    log_in("nobody@example.com")
    inserted = insert_hostile_rows(database)
    status, shown = run(capsys, "tail", "-n", "1000")
    assert (status, shown.count("NOT AS IT WAS WRITTEN")) == (0, inserted)
    assert all(line.isprintable() and line.isascii() for line in shown.splitlines())
    status, exported = run(capsys, "export")
    records = [json.loads(line) for line in exported.splitlines()]
    assert (status, [record["intact"] for record in records].count(False)) == (3, inserted)
    status, exported = run(capsys, "export", "--ocsf")
    assert (status, len(exported.splitlines())) == (3, len(records) + 1 - inserted)


def test_verification_reports_exactly_the_hostile_rows(database, capsys):
    sign_up()
    status, intact = run(capsys, "verify")
    assert (status, intact.count("\n")) == (0, 1)
    inserted = insert_hostile_rows(database)
    status, found = run(capsys, "verify")
    *findings, _ = found.splitlines()
    assert status == 3
    assert all(line.isprintable() and line.isascii() for line in findings)
    # A row that is alone in its chain gives two findings: the gap before it and the row after the gap.
    rows = [line for line in findings if "is missing" not in line or "cannot be checked" in line]
    assert len(rows) == inserted
