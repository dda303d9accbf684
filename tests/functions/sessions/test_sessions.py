"""POST /logout, GET and DELETE /sessions, DELETE /sessions/{id}: users list and revoke their own sessions."""

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select, update

from auth_common.database.tables import sessions, users
from tests.support.events import SOURCE_IP, proxy_event
from tests.support.factories import (
    EMAIL,
    PASSWORD,
    call_as,
    expire_step_ups,
    get_user,
    is_session_accepted,
    log_in,
    log_out,
    refresh,
    session_id,
    step_up,
)
from tests.support.functions import authorize, call, step_up_token_of

pytestmark = [pytest.mark.sessions, pytest.mark.sqlite]

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def list_sessions(token, **query):
    return call_as(token, "sessions", "GET", "/sessions", query=query)


def revoke(token, path="/sessions", **query):
    return call_as(token, "sessions", "DELETE", path, query=query)


def add_sessions(database, number):
    """Copy the only session ``number`` times, with earlier logins. Seven copies share each second."""
    (session,) = database.execute(select(sessions).limit(1))
    began = [session.auth_time - timedelta(seconds=i // 7 + 1) for i in range(number)]
    rows = [session._asdict() | {"id": uuid4(), "auth_time": auth_time} for auth_time in began]
    database.execute(insert(sessions).values(rows))


def list_all_pages(token):
    """Return the session ids on all pages of the list."""
    pages: list[list[str]] = []
    query: dict[str, str] = {}
    while True:
        answer = list_sessions(token, **query)
        assert answer.status == 200, answer.text
        pages.append([item["id"] for item in answer.json["items"]])
        if answer.json["next_cursor"] is None:
            return pages
        query = {"cursor": answer.json["next_cursor"]}


# --- POST /logout -------------------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.4.1", "14.3.1")
@pytest.mark.threat("page-tokens-in-browser")
def test_logout_revokes_the_own_session_and_clears_browser_storage(person, log_lines):
    this, that = (log_in().json for _ in range(2))
    answer = log_out(this["access_token"])
    assert (answer.status, answer.text) == (204, "")
    assert (answer.headers["cache-control"], answer.headers["clear-site-data"]) == ("no-store", '"storage"')
    assert "clear-site-data" not in log_out(this["access_token"]).headers
    assert not is_session_accepted(person.id, this)
    assert is_session_accepted(person.id, that)
    event = next(event for event in log_lines.security_events if event["name"] == "authn_token_revoked")
    assert (event["user_id"], event["reason"], event["sessions_ended"]) == (person.id, "by_owner", 1)


@pytest.mark.asvs("14.3.1")
@pytest.mark.threat("page-tokens-in-browser")
def test_revoking_the_own_session_clears_browser_storage(person):
    for path in ("/sessions", "/sessions/{}"):
        token = log_in().json["access_token"]
        answer = revoke(token, path.format(session_id(token).upper()))
        assert (answer.status, answer.headers["clear-site-data"]) == (204, '"storage"'), path
        assert get_user(person.id, token=token).status == 401


def test_revoking_other_sessions_does_not_clear_browser_storage(person):
    path = f"/sessions/{session_id(log_in().json['access_token'])}"
    answers = [revoke(person.access_token, path), revoke(person.access_token, path)]
    answers.append(revoke(person.access_token, keep_current="true"))
    assert [answer.status for answer in answers] == [204, 404, 204]
    assert [answer for answer in answers if "clear-site-data" in answer.headers] == []


# --- GET /sessions ------------------------------------------------------------------------------------------------


@pytest.mark.asvs("7.5.2")
def test_list_shows_device_client_ip_and_times_of_each_session(person):
    phone = log_in(
        sourceIp="2001:db8::7",
        userAgent="Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) "
        "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    ).json
    answer = list_sessions(phone["access_token"])
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json["next_cursor"] is None
    items = {item.pop("id"): item for item in answer.json["items"]}
    now = datetime.now(UTC)
    for item in items.values():
        created, used, expires = (
            datetime.fromisoformat(item.pop(f"{name}_at")) for name in ("created", "last_used", "expires")
        )
        assert now - timedelta(minutes=1) < created == used <= now
        assert expires - created == timedelta(days=30)
    assert items == {
        session_id(phone["access_token"]): {"device": "Mobile Safari on iOS", "ip": "2001:db8::7", "current": True},
        session_id(person.access_token): {"device": "Chrome on Linux", "ip": SOURCE_IP, "current": False},
    }


@pytest.mark.usefixtures("person")
def test_session_of_a_client_without_a_known_user_agent_has_a_device():
    listed = {}
    for user_agent in ("", "curl/8.14.1", "<script>alert(1)</script>"):
        token = log_in(userAgent=user_agent).json["access_token"]
        (listed[user_agent],) = [i["device"] for i in list_sessions(token).json["items"] if i["current"]]
    assert listed == {"": "Unknown device", "curl/8.14.1": "curl", "<script>alert(1)</script>": "Unknown device"}


def test_refresh_updates_the_last_use(database, person):
    yesterday = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    database.execute(update(sessions).values(last_used_at=yesterday))
    (before,) = list_sessions(person.access_token).json["items"]
    assert datetime.fromisoformat(before["last_used_at"]) == yesterday
    refresh(person.refresh_token)
    (after,) = list_sessions(person.access_token).json["items"]
    assert datetime.fromisoformat(after["last_used_at"]) > yesterday
    assert {**after, "last_used_at": before["last_used_at"]} == before


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.3.1")
def test_list_has_only_valid_sessions_of_the_caller(database, person, other):
    log_out(log_in().json["access_token"])
    for invalid in ({"expires_at": LONG_AGO}, {"last_used_at": LONG_AGO}, {"token_version": -1}):
        key = UUID(session_id(log_in().json["access_token"]))
        database.execute(update(sessions).where(sessions.c.id == key).values(**invalid))
    for account in (person, other):
        (item,) = list_sessions(account.access_token).json["items"]
        assert (item["id"], item["current"]) == (session_id(account.access_token), True)


@pytest.mark.asvs("2.3.2")
@pytest.mark.aurora_dsql
@pytest.mark.parametrize("number", [49, 50, 120])
def test_pages_are_complete_and_newest_first(database, person, number):
    add_sessions(database, number)
    pages = list_all_pages(person.access_token)
    assert [len(page) for page in pages] == {49: [50], 50: [50, 1], 120: [50, 50, 21]}[number]
    listed = [UUID(item) for page in pages for item in page]
    rows = database.execute(select(sessions.c.auth_time, sessions.c.id))
    assert set(listed) == {row.id for row in rows}
    assert len(listed) == number + 1
    began = {row.id: row.auth_time for row in rows}
    assert [began[item] for item in listed] == sorted(began.values(), reverse=True)


@pytest.mark.aurora_dsql
def test_pages_repeat_and_skip_nothing_while_sessions_change(database, person):
    add_sessions(database, 60)
    first = list_sessions(person.access_token).json
    log_in()
    revoke(person.access_token, f"/sessions/{first['items'][10]['id']}")
    second = list_sessions(person.access_token, cursor=first["next_cursor"]).json
    assert len(second["items"]) == 11
    assert not {item["id"] for item in first["items"]} & {item["id"] for item in second["items"]}


def test_forged_cursor_shows_no_session_of_other_users(person, other):
    cursor = encoded(f"2999-01-01T00:00:00+00:00 {UUID(int=0)}")
    (item,) = list_sessions(other.access_token, cursor=cursor).json["items"]
    assert item["id"] == session_id(other.access_token)


def encoded(text):
    return base64.urlsafe_b64encode(text.encode()).decode()


MIDNIGHT = "2026-01-01T00:00:00+00:00"
BAD_POSITIONS = [
    *(MIDNIGHT, f"{MIDNIGHT} 1", f"{MIDNIGHT} {UUID(int=1)} x", f"{MIDNIGHT} ' OR 1=1 --", "é"),
    *(f"{time} {UUID(int=1)}" for time in ("yesterday", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59")),
]
BAD_CURSORS = ["", "x", "é", "%00", "====", "A" * 201, *map(encoded, BAD_POSITIONS)]


@pytest.mark.asvs("1.2.4")
def test_bad_cursor_returns_422(person):
    answers = {cursor: list_sessions(person.access_token, cursor=cursor) for cursor in BAD_CURSORS}
    problems = {cursor: (answer.status, answer.code, answer.fields) for cursor, answer in answers.items()}
    assert problems == dict.fromkeys(BAD_CURSORS, (422, "validation_failed", {"cursor"}))


@pytest.mark.aurora_dsql
def test_cursor_with_the_first_or_last_time_returns_a_page(person):
    for time in ("0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00", "2026-01-01"):
        assert list_sessions(person.access_token, cursor=encoded(f"{time} {UUID(int=1)}")).status == 200, time


# --- DELETE /sessions/{id} ----------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("10.4.9")
@pytest.mark.threat("caller-stolen-device")
def test_user_revokes_another_own_session(person):
    lost_phone = log_in().json
    answer = revoke(person.access_token, f"/sessions/{session_id(lost_phone['access_token'])}")
    assert (answer.status, answer.text) == (204, "")
    assert not is_session_accepted(person.id, lost_phone)
    assert get_user(person.id, token=person.access_token).status == 200


@pytest.mark.aurora_dsql
@pytest.mark.asvs("8.2.2")
@pytest.mark.threat("function-data-of-others")
def test_session_of_another_user_is_not_found_and_not_revoked(database, person, other):
    """OWASP API1:2023 (BOLA). The response is the same as for an id that does not exist, for admins too."""
    target = session_id(other.access_token)
    for role in ("user", "admin"):
        database.execute(update(users).where(users.c.email == EMAIL).values(role=role))
        answers = [revoke(person.access_token, f"/sessions/{target_id}") for target_id in (target, uuid4())]
        assert [(answer.status, answer.code) for answer in answers] == [(404, "not_found")] * 2
        assert len({answer.json["detail"] for answer in answers}) == 1
    assert get_user(other.id, token=other.access_token).status == 200


def test_malformed_session_id_is_not_found(person):
    for spelling in ("x", "1", "%00", "'--", "null", "current", "*", "x" * 2_000):
        assert revoke(person.access_token, f"/sessions/{spelling}").code == "not_found", spelling


# --- DELETE /sessions ---------------------------------------------------------------------------------------------


@pytest.mark.asvs("7.5.2", "10.4.9")
def test_delete_sessions_revokes_all_sessions_of_the_caller(person, other, log_lines):
    second = log_in().json
    answer = revoke(person.access_token)
    assert (answer.status, answer.text) == (204, "")
    assert log_lines.security_events[-1]["sessions_ended"] == 2
    assert not is_session_accepted(person.id, second)
    assert get_user(person.id, token=person.access_token).status == 401
    assert get_user(other.id, token=other.access_token).status == 200


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.4.3")
def test_keep_current_revokes_all_sessions_except_the_callers(person, log_lines):
    second = log_in().json
    assert revoke(person.access_token, keep_current="true").status == 204
    assert not is_session_accepted(person.id, second)
    assert log_lines.reasons("authn_token_revoked") == ["by_owner"]
    assert revoke(person.access_token, keep_current="true").status == 204
    assert len(log_lines.reasons("authn_token_revoked")) == 1  # The second request revoked nothing.
    assert is_session_accepted(person.id, person.pair)


@pytest.mark.asvs("15.3.7")
def test_repeated_flag_returns_422_and_revokes_no_session(person):
    """Otherwise a component in front of the service could read one value, and the service the other."""
    for values in (["true", "false"], ["false", "true"], ["true", "true"]):
        event = proxy_event("DELETE", "/sessions", authorizer=authorize(person.access_token)["context"])
        event["multiValueQueryStringParameters"] = {"keep_current": values}
        event["queryStringParameters"] = {"keep_current": values[-1]}
        answer = call("sessions", event)
        assert (answer.status, answer.code, answer.fields) == (422, "validation_failed", {"query"}), values
        assert get_user(person.id, token=person.access_token).status == 200


def test_bad_flag_returns_422_and_revokes_no_session(person):
    for value in ("", "maybe", "2"):
        answer = revoke(person.access_token, keep_current=value)
        assert (answer.status, answer.fields) == (422, {"keep_current"}), value
        assert get_user(person.id, token=person.access_token).status == 200


# --- Step-up (ASVS 5.0 7.5.2) -------------------------------------------------------------------------------------


@pytest.mark.aurora_dsql
@pytest.mark.asvs("7.5.2")
def test_other_sessions_are_not_revoked_without_a_step_up_token(database, person, log_lines):
    second = log_in().json
    expire_step_ups(database)
    requests: list[tuple[str, dict[str, str]]] = [
        ("/sessions", {}),
        ("/sessions", {"keep_current": "true"}),
        (f"/sessions/{session_id(second['access_token'])}", {}),
        (f"/sessions/{uuid4()}", {}),
    ]
    for path, query in requests:
        for step_up_token in (None, "", step_up_token_of(person.access_token)):
            answer = call_as(person.access_token, "sessions", "DELETE", path, query=query, step_up_token=step_up_token)
            assert (answer.status, answer.code, answer.json["methods"]) == (403, "step_up_required", ["password"])
            assert "www-authenticate" not in answer.headers
    assert log_lines.reasons("authz_fail") == ["no_step_up", "no_step_up", "step_up_expired"] * len(requests)
    assert revoke(person.access_token, f"/sessions/{session_id(person.access_token)}").status == 204
    assert log_out(second["access_token"]).status == 204


@pytest.mark.asvs("7.5.2")
def test_other_sessions_are_revoked_after_a_login_and_after_a_step_up(database, person):
    expire_step_ups(database)
    recent = log_in().json
    assert revoke(recent["access_token"], keep_current="true").status == 204
    assert get_user(person.id, token=person.access_token).status == 401
    elsewhere = log_in().json
    expire_step_ups(database)
    assert step_up(recent["access_token"], {"current_password": PASSWORD}).status == 200
    for _ in range(2):  # The token can be used again after sessions were revoked.
        assert revoke(recent["access_token"], keep_current="true").status == 204
    assert get_user(person.id, token=elsewhere["access_token"]).status == 401
