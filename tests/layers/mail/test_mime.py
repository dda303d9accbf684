"""The MIME message: what receives it cannot be misled, and no value adds a header."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_common.mail.mime import build_message
from auth_common.mail.rendering import RenderedMail
from auth_common.settings import settings
from tests.support.databases import start_fresh_environment

pytestmark = [pytest.mark.mail, pytest.mark.usefixtures("environment")]

ID = UUID("3f0e6a52-0000-4000-8000-000000000001")
NOW = datetime(2026, 11, 30, 8, 17, 42, tzinfo=UTC)
HEADERS = {
    *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress"),
    *("MIME-Version", "Content-Type"),
}


def built(mail=None, *, recipient="ada@example.com", now=NOW):
    mail = mail or RenderedMail(subject="Bestätigen", text="Grüße\n", html="<p>Grüße</p>")
    message = build_message(mail, recipient=recipient, mail_id=ID, now=now)
    return message_from_bytes(message.as_bytes(), policy=policy.default)


@pytest.fixture(autouse=True)
def sender(environment, monkeypatch):
    monkeypatch.setenv("MAIL_FROM", "no-reply@example.com")
    monkeypatch.setenv("MAIL_FROM_NAME", 'Bücher, "Söhne"')
    start_fresh_environment()


def test_message_has_text_and_html_and_is_marked_as_automatic():
    message = built()
    assert {name: message[name] for name in ("To", "Subject", "Date", "Message-ID")} == {
        "To": "ada@example.com",
        "Subject": "Bestätigen",
        "Date": "Mon, 30 Nov 2026 08:17:42 +0000",
        "Message-ID": f"<{ID}@example.com>",
    }
    (sender,) = message["From"].addresses
    assert (sender.display_name, sender.addr_spec) == ('Bücher, "Söhne"', "no-reply@example.com")
    assert (message["Auto-Submitted"], message["X-Auto-Response-Suppress"]) == ("auto-generated", "All")
    assert message.get_content_type() == "multipart/alternative"
    # A mail program shows the last alternative that it can (RFC 2046 section 5.1.4).
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert [part.get_content().strip() for part in message.iter_parts()] == ["Grüße", "<p>Grüße</p>"]


def test_two_messages_of_one_mail_have_the_same_id():
    assert built()["Message-ID"] == built(now=datetime.now(UTC))["Message-ID"]


def test_message_is_ascii_with_short_lines_whatever_its_content():
    """Servers change other messages, and a changed message fails its DKIM signature."""
    mail = RenderedMail(subject="ü" * 200, text="ü" * 5_000, html="<p>" + "€" * 5_000)
    lines = build_message(mail, recipient="ada@example.com", mail_id=ID, now=NOW).as_bytes().split(b"\r\n")
    assert max(map(len, lines)) <= 78
    assert all(line.isascii() and b"\n" not in line for line in lines)


@pytest.mark.threat("mail-injected-text")
@pytest.mark.asvs("1.2.1", "1.3.11")
@given(st.text(max_size=60))
def test_no_text_adds_a_header(text):
    mail = RenderedMail(subject="Hello", text=f"{text}\r\n\r\nBcc: a@example.com", html=f"{text}\nBcc: b@example.com")
    assert set(built(mail).keys()) == HEADERS


@pytest.mark.asvs("1.3.11")
@pytest.mark.parametrize("recipient", ["ada@example.com\r\nBcc: bob@example.com", "a@example.com, b@example.com"])
def test_recipient_is_one_address(recipient):
    with pytest.raises(ValueError, match=r".+"):
        built(recipient=recipient)


def test_local_mailbox_needs_no_sender(monkeypatch):
    monkeypatch.delenv("MAIL_FROM")
    start_fresh_environment()
    assert settings().chosen_transport() == "mailbox"
    assert built()["Message-ID"] == f"<{ID}@localhost>"
