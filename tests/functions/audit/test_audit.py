"""GET /audit/events and GET /audit/summary."""

import base64
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.event import listen, remove

from auth_common.accounts.administration import change_role
from auth_common.database.privileges import READER_ROLE
from auth_common.database.tables import audit_events
from tests.support.auditors import AUDITOR_EMAIL, auditor_token, read_all_events, read_events, read_summary
from tests.support.databases import acting_as, start_fresh_environment
from tests.support.events import SOURCE_IP, USER_AGENT
from tests.support.factories import erase, get_user, log_in, sign_up
from tests.support.passkeys import call_webauthn, enrol
from tests.support.races import send_burst

pytestmark = [pytest.mark.audit, pytest.mark.sqlite]

ELSEWHERE = "2001:db8::7"


@pytest.fixture
def auditor(database):
    return auditor_token()


def names(events):
    return [event["event"] for event in events]


def guess():
    """Log in with a wrong password from another client IP."""
    log_in(password="something else entirely", sourceIp=ELSEWHERE)


def read_this_hour(token):
    now = datetime.now(UTC)
    span = {"from": (now - timedelta(hours=1)).isoformat(), "to": (now + timedelta(hours=1)).isoformat()}
    return read_summary(token, **span)


def rejections(token, log_lines):
    """Request both routes. Return the set of status, code and recorded reason."""
    answers = [(read(token), log_lines.security_events[-1]["reason"]) for read in (read_events, read_this_hour)]
    return {(answer.status, answer.code, reason) for answer, reason in answers}


# --- Access -----------------------------------------------------------------------------------------------------------


@pytest.mark.asvs("8.2.1", "16.3.2")
@pytest.mark.threat("audit-readers")
@pytest.mark.aurora_dsql
def test_audit_log_requires_a_role_besides_the_passkey(database, log_lines):
    holder = enrol(sign_up(AUDITOR_EMAIL))
    for role in ("security", "admin"):
        change_role(AUDITOR_EMAIL, role)
        token = holder.log_in().json["access_token"]
        assert [read_events(token).status, read_this_hour(token).status] == [200, 200]
    change_role(AUDITOR_EMAIL, "user")
    token = holder.log_in().json["access_token"]
    assert rejections(token, log_lines) == {(403, "forbidden", "role_not_sufficient")}


@pytest.mark.asvs("10.3.4")
@pytest.mark.threat("audit-readers")
def test_audit_log_read_after_a_password_alone_is_rejected(database, log_lines):
    sign_up()
    for role in ("security", "admin"):
        change_role("person@example.com", role)
        token = log_in().json["access_token"]
        assert rejections(token, log_lines) == {(403, "passkey_login_required", "login_without_passkey")}


@pytest.mark.threat("audit-readers")
@pytest.mark.aurora_dsql
def test_audit_log_read_after_deletion_of_all_passkeys_is_rejected(database, log_lines):
    holder = enrol()
    change_role(holder.account.email, "security")
    token = holder.log_in().json["access_token"]
    assert read_events(token).status == 200
    path = f"/webauthn/credentials/{holder.passkey_id}"
    assert call_webauthn(token, "DELETE", path, path_parameters={"id": holder.passkey_id}).status == 204
    assert rejections(token, log_lines) == {(403, "passkey_login_required", "account_without_passkey")}


@pytest.mark.asvs("8.3.2")
def test_audit_log_read_after_loss_of_the_role_is_rejected(auditor):
    change_role(AUDITOR_EMAIL, "user")
    assert read_events(auditor).status == 401


# --- Events -----------------------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
def test_newest_event_comes_first_with_all_its_fields(auditor):
    log_in("nobody@example.com")
    event, *before = read_events(auditor).json["items"]
    assert names(before)[:2] == ["authn_token_created", "authn_login_success"]
    request_id, chain, time = event.pop("request_id"), event.pop("chain"), event.pop("time")
    account = event["detail"].pop("account")
    assert event == {
        "id": f"{chain['id']}.{chain['sequence']}",
        "event": "authn_login_fail",
        "outcome": "failure",
        "severity": "low",
        "user_id": None,
        "reason": "unknown_user",
        "erased": False,
        "detail": {},
        "source_ip": SOURCE_IP,
        "user_agent": USER_AGENT,
        "function": "login",
        "method": "POST",
        "path": "/login",
    }
    assert str(UUID(request_id)) == request_id
    assert len(account) == 16
    assert chain["intact"] is True
    assert timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(time) < timedelta(minutes=1)


@pytest.mark.asvs("16.3.2")
@pytest.mark.threat("audit-readers")
def test_reading_the_audit_log_is_recorded(auditor):
    read_events(auditor, event="user_created", except_reason="audit_log", ip=SOURCE_IP)
    read_this_hour(auditor)
    summary, events = read_events(auditor).json["items"][:2]
    assert (summary["event"], summary["detail"]["target"]) == ("sensitive_read", "audit_summary")
    assert (events["event"], events["detail"]["target"]) == ("sensitive_read", "audit_events")
    assert events["detail"]["filters"] == "event=user_created except_reason=audit_log"


@pytest.mark.aurora_dsql
def test_readings_are_left_out_with_except_reason(auditor):
    """A page that polls leaves out its own readings with ``except_reason``."""
    assert read_this_hour(auditor).status == 200
    everything = read_all_events(auditor)
    readings = [event for event in everything if event["reason"] == "audit_log"]
    assert {*names(readings)} == {"sensitive_read"}
    others = read_all_events(auditor, except_reason="audit_log")
    assert others == [event for event in everything if event not in readings]
    assert None in {event["reason"] for event in others}


FILTERS = [
    ({"event": "user_created"}, ["user_created", "user_created"]),
    ({"outcome": "failure"}, ["authn_login_fail", "authn_login_fail"]),
    ({"reason": "unknown_user"}, ["authn_login_fail"]),
    ({"severity": "medium"}, ["authz_change"]),
    ({"ip": ELSEWHERE}, ["authn_login_fail"]),
    ({"ip": "2001:0DB8:0:0:0:0:0:7"}, ["authn_login_fail"]),
    ({"ip": "2001:db8::7%eth0"}, ["authn_login_fail"]),
    ({"ip": f"::ffff:{SOURCE_IP}", "outcome": "failure"}, ["authn_login_fail"]),
    ({"ip": "192.0.2.1"}, []),
    ({"user_id": str(UUID(int=7))}, []),
    ({"event": "authn_login_fail", "outcome": "success"}, []),
]


@pytest.mark.aurora_dsql
def test_each_filter_returns_its_events(auditor):
    user_id = sign_up().id
    guess()
    log_in("nobody@example.com")
    assert [(query, names(read_all_events(auditor, **query))) for query, _ in FILTERS] == FILTERS
    of_user = read_all_events(auditor, user_id=user_id)
    assert names(of_user) == ["authn_login_fail", "authn_token_created", "authn_login_success", "user_created"]
    assert {event["user_id"] for event in of_user} == {user_id}
    assert read_all_events(auditor, user_id=user_id.upper()) == of_user
    moment = of_user[1]["time"]
    since, until = (read_all_events(auditor, **{name: moment}) for name in ("from", "to"))
    assert {event["time"] >= moment for event in since} == {event["time"] < moment for event in until} == {True}
    assert moment in [event["time"] for event in since]


@pytest.fixture
def short_pages(monkeypatch):
    monkeypatch.setattr("auth_common.audit.reading.PAGE_SIZE", 7)


@pytest.mark.aurora_dsql
@pytest.mark.usefixtures("short_pages")
def test_pages_neither_skip_nor_repeat_while_rows_arrive(auditor):
    for _ in range(10):
        log_in("nobody@example.com")
    before = [event["id"] for event in read_all_events(auditor)][::-1]
    seen, cursor = [], None
    while True:
        page = read_events(auditor, **({"cursor": cursor} if cursor else {})).json
        seen += [event["id"] for event in page["items"]]
        log_in("nobody@example.com")
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen))
    assert set(before) <= set(seen)


@pytest.mark.usefixtures("short_pages")
def test_full_last_page_has_no_cursor(auditor):
    for _ in range(7):
        log_in("nobody@example.com")
    page = read_events(auditor, reason="unknown_user").json
    assert (len(page["items"]), page["next_cursor"]) == (7, None)


PLACES = ["1 2", f"{2**63} {UUID(int=0)} 0", f"0 {UUID(int=0)} {2**31}", f"-1 {UUID(int=0)} 0"]
BAD_VALUES = {
    "from": ["yesterday", "2026-01-01T00:00:00"],
    "event": ["invented"],
    "outcome": ["both"],
    "severity": ["7"],
    "user_id": ["x"],
    "ip": ["not-an-address", "203.0.113.0/24"],
    "reason": ["x' OR 1=1 --", "x" * 61],
    "limit": ["1000000"],
    "cursor": ["x", "é", "x" * 201, *(base64.urlsafe_b64encode(place.encode()).decode() for place in PLACES)],
}


@pytest.mark.asvs("1.4.2", "2.2.1")
def test_bad_query_is_rejected_by_its_parameter(auditor):
    for name, values in BAD_VALUES.items():
        for value in values:
            answer = read_events(auditor, **{name: value})
            assert (answer.status, answer.code, answer.fields) == (422, "validation_failed", {name}), value


def test_time_with_unencoded_plus_is_rejected_with_an_explanation(auditor):
    for read in (read_events, read_summary):
        answer = read(auditor, **dict.fromkeys(("from", "to"), "2026-01-01T00:00:00 02:00"))
        assert (answer.status, answer.fields) == (422, {"from", "to"})
        assert all("%2B" in error["message"] for error in answer.json["errors"])


# --- Tampering --------------------------------------------------------------------------------------------------------


CHANGES: list[dict[str, Any]] = [
    *({"record": record} for record in ('{"event":"user_created"}', "not JSON")),
    *({"mac": bytes(32)}, {"reason": "unknown_user"}, {"outcome": "success"}, {"severity": 1}),
    *({"user_id": UUID(int=7)}, {"source": bytes(16)}),
]


@pytest.mark.parametrize("values", CHANGES, ids=lambda values: next(iter(values)))
def test_record_that_was_changed_is_not_intact(database, auditor, values):
    sign_up()
    guess()
    guess()
    (newest,) = database.execute(select(audit_events).order_by(audit_events.c.sequence.desc()).limit(1))
    database.execute(update(audit_events).where(audit_events.c.sequence == newest.sequence).values(**values))
    changed = {event["id"]: event["chain"]["intact"] for event in read_all_events(auditor)}
    assert changed.pop(f"{newest.chain_id}.{newest.sequence}") is False
    # The next record, of the reading itself, was chained to the MAC that the environment had kept.
    assert list(changed.values()).count(False) <= ("mac" in values)


def test_record_after_a_deleted_one_is_not_intact(database, auditor):
    for _ in range(2):
        log_in("nobody@example.com")
    places = [event["chain"]["sequence"] for event in read_all_events(auditor, reason="unknown_user")]
    database.execute(delete(audit_events).where(audit_events.c.sequence == places[1]))
    (left,) = read_all_events(auditor, reason="unknown_user")
    assert left["chain"]["intact"] is False


@pytest.mark.aurora_dsql
def test_events_of_an_erased_user_stay_intact_without_personal_data(auditor):
    person = sign_up()
    guess()
    erase(person.email)
    events = read_all_events(auditor, user_id=person.id)
    assert names(events)[0] == "user_deleted"
    for event in events[1:]:
        assert (event["source_ip"], event["user_agent"], event["erased"]) == (None, None, True)
        assert event["chain"]["intact"] is True
    assert person.id not in [event["user_id"] for event in read_all_events(auditor, ip=SOURCE_IP)]
    assert read_this_hour(auditor).json["sources"] == [{"value": None, "count": 1}]
    # A client may still use an access token of the erased user.
    assert get_user(person.id, token=person.access_token).status == 401
    newest = read_all_events(auditor, user_id=person.id)[0]
    assert (newest["event"], newest["reason"]) == ("authn_token_rejected", "session_unknown")
    assert (newest["source_ip"], newest["user_agent"], newest["chain"]["intact"]) == (None, None, True)


@pytest.mark.aurora_dsql
def test_events_of_passkeys_can_be_read_if_several_users_have_a_salt(auditor):
    """A record that is sealed with the salt of another user cannot be opened."""
    holder = enrol(sign_up())
    assert holder.log_in_with_passkey_alone().status == 200
    assert holder.step_up(holder.log_in().json["access_token"]).status == 200
    events = read_all_events(auditor, user_id=holder.account.id)
    assert {event["source_ip"] for event in events} == {SOURCE_IP}


def test_text_instead_of_an_id_in_a_path_is_not_stored(auditor):
    get_user("somebody@example.com", token=sign_up().access_token)
    (event,) = read_all_events(auditor, event="authz_fail")
    assert (event["path"], event["detail"]) == ("/users/{id}", {"target": "not an id"})


# --- Summary ----------------------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
def test_summary_counts_events_and_ranks_causes_of_failures(auditor):
    person = sign_up()
    for _ in range(3):
        guess()
    log_in("nobody@example.com")
    summary = read_this_hour(auditor).json
    assert summary["interval"] == 60
    counts = {(bar["event"], bar["outcome"]): 0 for bar in summary["series"]}
    for bar in summary["series"]:
        counts[bar["event"], bar["outcome"]] += bar["count"]
        start = datetime.fromisoformat(bar["start"])
        assert (start.second, start <= datetime.now(UTC)) == (0, True)
    assert counts["authn_login_fail", "failure"] == 4
    assert counts["user_created", "success"] == 2
    assert summary["reasons"] == [{"value": "wrong_password", "count": 3}, {"value": "unknown_user", "count": 1}]
    assert summary["sources"] == [{"value": ELSEWHERE, "count": 3}, {"value": SOURCE_IP, "count": 1}]
    assert summary["accounts"] == [{"value": person.id, "count": 3}, {"value": None, "count": 1}]


def test_summary_interval_depends_on_the_span(auditor):
    hours_and_intervals = {1: 60, 24: 300, 7 * 24: 3600, 31 * 24: 6 * 3600, 366 * 24: 86400, 17000: 604800}
    until = datetime.now(UTC)
    for hours, interval in hours_and_intervals.items():
        query = {"from": (until - timedelta(hours=hours)).isoformat(), "to": until.isoformat()}
        assert read_summary(auditor, **query).json["interval"] == interval, hours
    summary = read_summary(auditor).json
    until = datetime.fromisoformat(summary["to"])
    assert until - datetime.fromisoformat(summary["from"]) == timedelta(days=1)
    assert datetime.now(UTC) - until < timedelta(minutes=1)
    assert summary["series"] != []


BAD_SPANS = [
    ({"from": "yesterday"}, "from"),
    ({"to": "2026-01-01"}, "to"),
    ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "query"),
    ({"from": "2020-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "query"),
    ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "x": "1"}, "x"),
]


@pytest.mark.asvs("2.2.3")
def test_bad_time_range_of_a_summary_is_rejected(auditor):
    for query, field in BAD_SPANS:
        answer = read_summary(auditor, **query)
        assert (answer.status, answer.fields) == (422, {field}), query


@pytest.mark.aurora_dsql
def test_concurrent_readers_all_get_a_page(auditor):
    assert send_burst(16, lambda _: read_events(auditor)) == {200: 16}


@pytest.mark.aurora_dsql
def test_audit_function_needs_only_the_reader_role(auditor):
    log_in("nobody@example.com")
    with acting_as(READER_ROLE):
        assert names(read_all_events(auditor))[0] == "authn_login_fail"
        assert read_this_hour(auditor).status == 200
        assert read_events(auditor, limit="0").status == 422


@pytest.fixture
def slow_answers():
    """Delay each result of a SELECT by 0.4 seconds."""

    def arrive(_connection, _cursor, statement, *_):
        if statement.startswith("SELECT"):
            sleep(0.4)

    listen(Engine, "after_cursor_execute", arrive)
    yield
    remove(Engine, "after_cursor_execute", arrive)


@pytest.mark.asvs("13.2.6")
@pytest.mark.parametrize("read", [read_events, read_this_hour])
def test_reading_in_many_slow_statements_returns_503(auditor, read, monkeypatch, request):
    """Each statement takes less than DATABASE_TIMEOUT, but all together take longer than API Gateway waits."""
    monkeypatch.setenv("DATABASE_TIMEOUT", "0.5")
    start_fresh_environment()
    request.getfixturevalue("slow_answers")
    answer = read(auditor)
    assert (answer.status, answer.code) == (503, "service_unavailable")
