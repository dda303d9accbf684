"""Log lines: each is one JSON document, without secrets, and without characters that control a terminal."""

import json
import logging
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_common.events.logger import REDACTED, logger, redact, to_json_line
from auth_common.sessions.refresh_tokens import new_refresh_token

pytestmark = pytest.mark.events

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
BCRYPT_HASH = "$2b$12$abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUV012345678"
PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\nByqGSM49AgEG\n-----END PRIVATE KEY-----"


SECRET_NAMES = [
    *("password", "Password", "PASSWORD", "current_password", "new_password", "password_hash", "pepper", "token"),
    *("access_token", "refresh_token", "mfa_token", "token_hash", "Authorization", "authorizationToken", "Cookie"),
    *("Set-Cookie", "secret", "private_key", "challenge", "DATABASE_URL"),
]


@pytest.mark.asvs("16.2.5")
@pytest.mark.parametrize("value", ["hunter2", 7, ["hunter2"], {"inner": "hunter2"}, b"hunter2", None])
def test_value_under_the_name_of_a_secret_is_redacted_at_any_depth(value):
    for name in SECRET_NAMES:
        assert redact({name: value}) == {name: REDACTED}
        assert redact([{"outer": ({"inner": {name: value}},)}]) == [{"outer": [{"inner": {name: REDACTED}}]}]


_R = REDACTED
TEXTS = (
    {JWT: _R, f"Bearer {JWT}": f"Bearer {_R}", f"token={JWT}&x=1": f"token={_R}&x=1", JWT[:30]: _R}
    | {f"'{JWT}.'": f"'{_R}.'", f"'{new_refresh_token()}'": f"'{_R}'"}
    | {f"hash {BCRYPT_HASH} of": f"hash {_R} of", BCRYPT_HASH.replace("2b", "2y"): _R}
    | {f"a\n{PRIVATE_KEY}\nb": f"a\n{_R}\nb", PRIVATE_KEY[:50]: _R, PRIVATE_KEY.replace("PRIVATE", "EC PRIVATE"): _R}
    | {"postgresql+psycopg://service:hunter2@db.example/x": f"postgresql+psycopg://{_R}@db.example/x"}
)
HARMLESS = ["rt_short and rtx_" + "a" * 43, "nothing secret: eyJ, $2b$, https://host:8000/path@x"]


@pytest.mark.asvs("16.2.5")
@pytest.mark.threat("logs-leaked-secrets")
def test_secret_inside_any_text_is_redacted():
    for text, expected in {**TEXTS, **dict(zip(HARMLESS, HARMLESS, strict=True))}.items():
        assert redact(text) == expected
        assert redact({"message": [text]}) == {"message": [expected]}
        assert redact({text: 1}) == {expected: 1}


anything_between = st.lists(
    st.sampled_from([*"@.\n\u00e9", "eyJ", "$2", "rt_", "://", "user:", "a" * 8, "-----BEGIN ", "PRIVATE KEY-----"])
).map(" ".join)


@given(before=anything_between, after=anything_between)
def test_secret_between_anything_is_redacted(before, after):
    for secret in (JWT, BCRYPT_HASH, PRIVATE_KEY, "rt_" + "y" * 20, "x://user" + ":word@host"):
        assert secret not in redact(f"{before} {secret} {after}")


def test_value_that_json_does_not_know_becomes_a_redacted_text():
    plain = {"a": 1, "b": 1.5, "c": True, "d": None, "e": "text", "f": [], "token_version": 3, "fields": ["email"]}
    assert redact(plain) == plain
    odd = {"id": UUID(int=1), "at": datetime(2026, 1, 2, tzinfo=UTC), "set": {1}, "error": ValueError(JWT)}
    assert redact(odd) == {"id": str(UUID(int=1)), "at": "2026-01-02 00:00:00+00:00", "set": [1], "error": REDACTED}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@pytest.mark.asvs("1.1.2", "16.4.1")
@given(record=st.dictionaries(st.text(), anything))
def test_record_of_any_kind_is_one_line_of_printable_ascii(record):
    line = to_json_line(record)
    assert line.isascii()
    assert line.isprintable()
    json.loads(line)


@pytest.mark.asvs("1.3.3", "16.4.1")
@pytest.mark.threat("function-injection", "logs-forged-lines")
@pytest.mark.parametrize(
    "text",
    [
        *('x\n{"level":"INFO","message":"forged"}', "x\r\nforged", "\x1b[2K\x1b[1A"),
        *("\u202eforged", "\u2028forged", "\x7f\x9b0m", "\x00"),
    ],
)
def test_line_breaks_and_control_characters_are_escaped_cwe_117(log_lines, text):
    logger.info(text, extra={"user_agent": text, text: text})
    (line,) = log_lines.text.splitlines()
    assert line.isascii()
    assert line.isprintable()
    (record,) = log_lines.records
    assert record["message"] == record["user_agent"] == record[text] == text


@pytest.mark.asvs("16.2.2", "16.2.3")
def test_log_line_has_time_in_utc_service_and_level(log_lines):
    logger.warning("something odd")
    (record,) = log_lines.records
    assert (record["level"], record["message"]) == ("WARNING", "something odd")
    assert record["timestamp"].endswith("+0000")
    assert record["service"]


def test_exception_is_redacted(log_lines):
    """Its causes are masked too, and so is the stack trace that Powertools adds."""
    error = LookupError("no hash", BCRYPT_HASH)
    error.__cause__ = ValueError("bad token", JWT)
    logger.error("failed", exc_info=error)
    (record,) = log_lines.records
    assert record["exception_name"] == "LookupError"
    assert "('bad token', '[REDACTED]')" in record["exception"]
    assert JWT not in log_lines.text
    assert BCRYPT_HASH not in log_lines.text


@pytest.mark.asvs("16.2.5")
def test_argument_of_a_message_is_redacted_also_of_a_library(log_lines):
    logger.warning("got %s", JWT)
    logging.getLogger("some.library").warning("got %s", JWT)
    shown = [(record["level"], record["message"]) for record in log_lines.records]
    assert shown == [("WARNING", f"got {REDACTED}")] * 2
