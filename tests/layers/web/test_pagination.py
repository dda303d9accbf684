"""Cursors: a place in a list, and what a client can do to one."""

import base64
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_common.web.application import create_app, create_handler
from auth_common.web.pagination import SessionCursor, encode_cursor
from tests.support.events import proxy_event
from tests.support.functions import call_handler
from tests.support.fuzzing import examples

pytestmark = pytest.mark.web

KEY = UUID("7c1e5b2a-3d4f-4a6b-8c9d-1e2f3a4b5c6d")

app = create_app()


@app.get("/list")
async def get_list(cursor: SessionCursor) -> tuple[str, str] | None:
    return (cursor[0].isoformat(), str(cursor[1])) if cursor else None


handler = create_handler(app)


def get(cursor=None):
    query = None if cursor is None else {"cursor": cursor}
    return call_handler(handler, proxy_event("GET", "/list", query=query))


def encode(text):
    return base64.urlsafe_b64encode(text.encode()).decode()


@given(
    time=st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
    key=st.uuids(),
)
@examples(50)
def test_cursor_leads_back_to_its_place(time, key):
    cursor = encode_cursor((time, key))
    assert cursor is not None
    assert cursor.isascii()
    assert len(cursor) <= 200
    assert get(cursor).json == [time.isoformat(), str(key)]


def test_cursor_of_any_zone_is_read_in_utc_and_the_first_page_needs_none():
    time = datetime(2026, 1, 2, 5, 4, 5, 678901, tzinfo=timezone(timedelta(hours=2)))
    assert get(encode_cursor((time, KEY))).json == ["2026-01-02T03:04:05.678901+00:00", str(KEY)]
    answer = get()
    assert (answer.status, answer.json) == (200, None)
    assert encode_cursor(None) is None


TIME = "2026-01-02T03:04:05+00:00"
NO_PLACES = [
    *("", " ", TIME, f"{TIME} {KEY} {KEY}", f"{TIME}  {KEY}", f"yesterday {KEY}", f"2026-13-02T03:04:05+00:00 {KEY}"),
    # In UTC a day before there are days, and one after.
    *(f"0001-01-01T00:00:00+14:00 {KEY}", f"9999-12-31T23:59:59-14:00 {KEY}"),
    *(f"{TIME} 1", f"{TIME} ' OR 1=1 --", f"{TIME} {KEY}{' ' * 200}"),
]
NO_BASE64 = ["", "x", "=", "%", "ünïcödé", "\ud7ff\u0000", "__4gAA==", "A" * 201]


@pytest.mark.parametrize("cursor", [*NO_BASE64, *map(encode, NO_PLACES)])
def test_cursor_that_is_none_is_rejected_by_name_and_not_repeated(cursor):
    answer = get(cursor)
    assert (answer.status, answer.code, answer.fields) == (422, "validation_failed", {"cursor"})
    assert len(cursor) < 4 or cursor not in answer.text
