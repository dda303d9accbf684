"""What a page that polls needs: the log without the readings of the log."""

import pytest

from tests.support.auditors import all_events, auditor_token, read_events, read_summary

pytestmark = pytest.mark.audit


def test_the_readings_of_the_log_can_be_left_out_and_nothing_else_is(database):
    token = auditor_token()
    now = {"from": "2020-01-01T00:00:00Z", "to": "2021-01-01T00:00:00Z"}
    assert read_summary(token, **now).status == 200
    everything = all_events(token)
    readings = [event for event in everything if event["reason"] == "audit_log"]
    assert {event["event"] for event in readings} == {"sensitive_read"}

    others = all_events(token, except_reason="audit_log")

    assert others == [event for event in everything if event not in readings]
    assert None in {event["reason"] for event in others}


def test_what_was_left_out_is_in_the_record_of_the_reading(database):
    token = auditor_token()
    assert read_events(token, except_reason="audit_log").status == 200
    newest = read_events(token).json["items"][0]
    assert newest["detail"]["filters"] == "except_reason=audit_log"
