"""Log lines: one JSON document each, free of secrets, and nothing in them that a terminal would obey."""

import json
import logging
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_common.monitoring.logger import REDACTED, logger, redact, to_json_line
from auth_common.security.refresh_tokens import new_refresh_token

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
def test_a_value_under_a_secrets_name_is_redacted_at_any_depth(value):
    for name in SECRET_NAMES:
        assert redact({name: value}) == {name: REDACTED}
        assert redact([{"outer": ({"inner": {name: value}},)}]) == [{"outer": [{"inner": {name: REDACTED}}]}]


@pytest.mark.asvs("16.2.5")
@pytest.mark.threat("logs-leaked-secrets")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (JWT, REDACTED),
        (f"Bearer {JWT}", f"Bearer {REDACTED}"),
        (f"token={JWT}&x=1", f"token={REDACTED}&x=1"),
        (JWT[:30], REDACTED),
        (f"'{JWT}.'", f"'{REDACTED}.'"),
        (f"hash {BCRYPT_HASH} of", f"hash {REDACTED} of"),
        (BCRYPT_HASH.replace("2b", "2y"), REDACTED),
        (f"a\n{PRIVATE_KEY}\nb", f"a\n{REDACTED}\nb"),
        (PRIVATE_KEY[:50], REDACTED),
        (PRIVATE_KEY.replace("PRIVATE", "EC PRIVATE"), REDACTED),
        ("postgresql+psycopg://service:hunter2@db.example/x", f"postgresql+psycopg://{REDACTED}@db.example/x"),
        ("rt_" + "a" * 43, REDACTED),
        ("rt_short and rtx_" + "a" * 43, "rt_short and rtx_" + "a" * 43),
        ("nothing secret: eyJ, $2b$, https://host:8000/path@x", "nothing secret: eyJ, $2b$, https://host:8000/path@x"),
    ],
)
def test_what_looks_like_a_secret_is_redacted_inside_any_text(text, expected):
    assert redact(text) == expected
    assert redact({"message": [text]}) == {"message": [expected]}
    assert redact({text: 1}) == {expected: 1}


anything_between = st.lists(
    st.sampled_from(
        ["eyJ", "$2", "rt_", "://", "user:", "@", "a" * 8, ".", "-----BEGIN ", "PRIVATE KEY-----", "\n", "\u00e9"]
    )
).map(" ".join)


@given(before=anything_between, after=anything_between)
def test_secret_between_anything_is_redacted(before, after):
    for secret in (JWT, BCRYPT_HASH, PRIVATE_KEY, "rt_" + "y" * 20, "x://user" + ":word@host"):
        assert secret not in redact(f"{before} {secret} {after}")


def test_real_secrets_of_ours_look_like_secrets():
    assert redact(f"'{new_refresh_token()}'") == f"'{REDACTED}'"


def test_values_that_json_does_not_know_become_redacted_texts():
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    assert redact({"id": UUID(int=1), "at": moment, "set": {1}, "error": ValueError(JWT)}) == {
        "id": "00000000-0000-0000-0000-000000000001",
        "at": "2026-01-02 00:00:00+00:00",
        "set": [1],
        "error": REDACTED,
    }


def test_plain_values_stay_what_they_are():
    plain = {"a": 1, "b": 1.5, "c": True, "d": None, "e": "text", "f": [], "token_version": 3, "fields": ["email"]}
    assert redact(plain) == plain


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@pytest.mark.asvs("1.1.2", "16.4.1")
@given(record=st.dictionaries(st.text(), anything))
def test_whatever_is_logged_is_one_line_of_printable_ascii(record):
    line = to_json_line(record)
    assert line.isascii()
    assert line.isprintable()
    json.loads(line)


@pytest.mark.asvs("1.3.3", "16.4.1")
@pytest.mark.threat("function-injection", "logs-forged-lines")
@pytest.mark.parametrize(
    "text",
    [
        'x\n{"level":"INFO","message":"forged"}',
        "x\r\nforged",
        "\x1b[2K\x1b[1A",
        "\u202eforged",
        "\u2028forged",
        "\x7f\x9b0m",
        "\x00",
    ],
)
def test_nobody_forges_a_second_line_or_moves_the_cursor_cwe_117(log_lines, text):
    logger.info(text, extra={"user_agent": text, text: text})
    (line,) = log_lines.text.splitlines()
    assert line.isascii()
    assert line.isprintable()
    (record,) = log_lines.records
    assert record["message"] == record["user_agent"] == record[text] == text


@pytest.mark.asvs("16.2.2")
def test_a_line_says_when_in_utc_who_and_how_bad(log_lines):
    logger.warning("something odd")
    (record,) = log_lines.records
    assert (record["level"], record["message"]) == ("WARNING", "something odd")
    assert record["timestamp"].endswith("+0000")
    assert record["service"]


def test_an_exceptions_text_is_redacted(log_lines):
    """With its causes, and with the stack trace that Powertools adds."""
    error = LookupError("no hash", BCRYPT_HASH)
    error.__cause__ = ValueError("bad token", JWT)
    logger.error("failed", exc_info=error)
    (record,) = log_lines.records
    assert record["exception_name"] == "LookupError"
    assert "('bad token', '[REDACTED]')" in record["exception"]
    assert JWT not in log_lines.text
    assert BCRYPT_HASH not in log_lines.text


def test_arguments_of_a_message_are_redacted(log_lines):
    logger.info("token %s", JWT)
    assert log_lines.records[0]["message"] == f"token {REDACTED}"


@pytest.mark.asvs("16.2.5")
def test_what_libraries_log_is_a_line_like_ours_and_redacted_too(log_lines):
    logging.getLogger("some.library").warning("got %s", JWT)
    (record,) = log_lines.records
    assert record["message"] == f"got {REDACTED}"
    assert record["level"] == "WARNING"


@pytest.mark.asvs("16.2.3")
def test_our_lines_are_written_once(log_lines):
    logger.info("once")
    assert len(log_lines.records) == 1
