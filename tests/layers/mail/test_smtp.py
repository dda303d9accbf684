"""The transport SMTP, against real servers with TLS, and against servers with each kind of fault."""

import time

import boto3
import pytest

from auth_common.errors import Misconfigured
from auth_common.mail import smtp
from auth_common.mail.configured_transport import configured_transport
from auth_common.mail.smtp import SmtpServer
from auth_common.mail.transports import MailDeferred, MailRefused
from tests.support.databases import start_fresh_environment
from tests.support.mail_servers import PASSWORD, USER, Inbox, a_message, smtp_server, tcp_server

pytestmark = [pytest.mark.mail, pytest.mark.usefixtures("environment")]

LOGIN = "service%40example.com:p%40ss%3Aw%2Frd%3F%23"
RECIPIENT = "ada@example.com"


@pytest.fixture
def inbox():
    return Inbox()


@pytest.fixture
def send(environment, monkeypatch):
    """Return a function that sends a message by ``url``."""
    monkeypatch.setenv("MAIL_TRANSPORT", "smtp")
    monkeypatch.setenv("MAIL_FROM", "no-reply@example.com")
    start_fresh_environment()

    def send_it(url):
        monkeypatch.setenv("SMTP_URL", url)
        start_fresh_environment()
        return configured_transport().send(a_message(), recipient=RECIPIENT)

    return send_it


@pytest.fixture
def trusted(monkeypatch, tmp_path):
    """Trust the certificate of ``smtp_server(tmp_path)``, as a deployer does for a private authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))


def with_login(url):
    return url.replace("://", f"://{LOGIN}@")


@pytest.mark.asvs("12.3.1", "12.3.2")
@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
@pytest.mark.usefixtures("trusted")
def test_mail_is_handed_over_with_tls_and_login(send, inbox, tmp_path, scheme):
    with smtp_server(tmp_path, inbox, scheme=scheme) as url:
        assert send(with_login(url)) is None
    (envelope,) = inbox.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@example.com", [RECIPIENT])
    assert b"Subject: Hello\r\n" in envelope.content
    # The server learns the domain of the sender and not the name of this machine.
    assert inbox.clients == [("example.com", True)]


def test_local_server_needs_no_tls_and_no_login(send, inbox, tmp_path):
    with smtp_server(tmp_path, inbox, scheme="smtp") as url:
        send(url)
    assert len(inbox.envelopes) == 1


@pytest.mark.asvs("12.3.2")
@pytest.mark.threat("mail-intercepted")
@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_server_with_an_untrusted_certificate_gets_neither_mail_nor_password(send, inbox, tmp_path, scheme):
    with (
        smtp_server(tmp_path, inbox, scheme=scheme) as url,
        pytest.raises(MailDeferred, match="smtp_tls_failed"),
    ):
        send(with_login(url))
    assert inbox.clients == []


@pytest.mark.asvs("12.3.2")
@pytest.mark.threat("mail-intercepted")
@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
@pytest.mark.usefixtures("trusted")
def test_server_with_a_certificate_for_another_name_gets_neither_mail_nor_password(send, inbox, tmp_path, scheme):
    with (
        smtp_server(tmp_path, inbox, scheme=scheme) as url,
        pytest.raises(MailDeferred, match="smtp_tls_failed"),
    ):
        send(with_login(url.replace("localhost", "127.0.0.1")))
    assert inbox.clients == []


@pytest.mark.threat("mail-intercepted")
def test_server_without_starttls_gets_neither_mail_nor_password(send, inbox, tmp_path):
    """An attacker in the network removes STARTTLS from the server's response."""
    with smtp_server(tmp_path, inbox, scheme="smtp") as url, pytest.raises(MailDeferred, match="smtp_tls_failed"):
        send(with_login(url.replace("smtp://", "smtp+starttls://")))
    assert inbox.clients == []


@pytest.mark.parametrize(
    ("rcpt", "data", "error"),
    [
        ("550 no such user", "250 OK", MailRefused("recipient_refused")),
        ("450 greylisted", "250 OK", MailDeferred("recipient_refused")),
        ("421 closing", "250 OK", MailDeferred("recipient_refused")),
        ("250 OK", "554 spam", MailRefused("message_refused")),
        ("250 OK", "451 try later", MailDeferred("message_refused")),
        ("250 OK", "421 closing", MailDeferred("message_refused")),
    ],
)
def test_rejection_is_final_only_with_a_permanent_code(send, tmp_path, rcpt, data, error):
    inbox = Inbox(rcpt=rcpt, data=data)
    with smtp_server(tmp_path, inbox, scheme="smtp") as url, pytest.raises(type(error)) as raised:
        send(url)
    assert raised.value.reason == error.reason
    # The server's text can contain the address.
    assert raised.value.__cause__ is None


@pytest.mark.usefixtures("trusted")
def test_wrong_password_is_no_fault_of_the_mail(send, inbox, tmp_path):
    with smtp_server(tmp_path, inbox, scheme="smtps") as url, pytest.raises(MailDeferred, match="smtp_login_failed"):
        send(url.replace("://", "://service%40example.com:wrong@"))


@pytest.mark.usefixtures("trusted")
def test_server_without_login_is_reported_as_such(send, inbox, tmp_path):
    with (
        smtp_server(tmp_path, inbox, scheme="smtps", has_login=False) as url,
        pytest.raises(MailDeferred, match="smtp_login_failed"),
    ):
        send(with_login(url))


def close_at_once(connection):
    connection.close()


def test_server_that_is_away_defers_the_mail(send):
    with tcp_server(close_at_once) as port:
        pass
    with pytest.raises(MailDeferred, match="smtp_unavailable"):
        send(f"smtp://localhost:{port}")


def test_cut_after_the_message_defers_the_mail_which_may_arrive_twice(send, tmp_path):
    """The client cannot know whether the server has accepted the message, so it sends it again."""
    inbox = Inbox(is_cut=True)
    with smtp_server(tmp_path, inbox, scheme="smtp") as url:
        with pytest.raises(MailDeferred, match="smtp_unavailable"):
            send(url)
        inbox.is_cut = False
        send(url)
    first, second = inbox.envelopes
    assert first.content == second.content


def test_slow_server_defers_the_mail(send, tmp_path, monkeypatch):
    monkeypatch.setattr(smtp, "RESPONSE_SECONDS", 0.1)
    with (
        smtp_server(tmp_path, Inbox(delay=1), scheme="smtp") as url,
        pytest.raises(MailDeferred, match="smtp_unavailable"),
    ):
        send(url)


def serve_until_quit(connection, *, quit_response):
    lines = connection.makefile("rb")
    connection.sendall(b"220 ready\r\n")
    for line in lines:
        if line.startswith(b"data"):
            connection.sendall(b"354 go on\r\n")
            while next(lines) != b".\r\n":
                pass
        connection.sendall(quit_response if line.startswith(b"quit") else b"250 OK\r\n")
        if line.startswith(b"quit"):
            break


@pytest.mark.parametrize("response", [b"500 never\r\n", b"", b"garbage\r\n"])
def test_fault_after_the_acceptance_does_not_send_the_mail_again(send, response):
    with tcp_server(lambda connection: serve_until_quit(connection, quit_response=response)) as port:
        assert send(f"smtp://localhost:{port}") is None


def test_server_that_sends_single_bytes_cannot_hold_the_sender(send, monkeypatch):
    monkeypatch.setattr(smtp, "CONVERSATION_SECONDS", 0.3)

    def drip(connection):
        connection.sendall(b"220 ready\r\n")
        while True:
            connection.sendall(b"2")
            time.sleep(0.05)

    with tcp_server(drip) as port, pytest.raises(MailDeferred, match="smtp_unavailable"):
        send(f"smtp://localhost:{port}")


@pytest.mark.parametrize("greeting", [b"554 no service\r\n", b"garbage\r\n", b"", b"220 " + b"x" * 100_000 + b"\r\n"])
def test_server_that_speaks_something_else_defers_the_mail(send, greeting):
    with (
        tcp_server(lambda connection: connection.sendall(greeting)) as port,
        pytest.raises(MailDeferred, match="smtp_unavailable"),
    ):
        send(f"smtp://localhost:{port}")


def read_server(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    start_fresh_environment()
    return SmtpServer.from_settings()


@pytest.mark.parametrize(
    ("url", "scheme", "port"),
    [
        (f"smtps://{LOGIN}@mail.example.com", "smtps", 465),
        (f"smtp+starttls://{LOGIN}@mail.example.com", "smtp+starttls", 587),
        (f" smtps://{LOGIN}@mail.example.com:2465/ \n", "smtps", 2465),
    ],
)
def test_url_names_server_and_login(monkeypatch, url, scheme, port):
    server = read_server(monkeypatch, SMTP_URL=url)
    assert (server.scheme, server.host, server.port) == (scheme, "mail.example.com", port)
    assert (server.user, server.password) == (USER, PASSWORD)


@pytest.mark.parametrize(
    "url",
    [
        *("", "mail.example.com", "https://mail.example.com", "smtps://", "smtps://:hunter2@", "smtps://host:x"),
        *("smtps://host:99999", "smtps://user:hunter2/x@host", "smtps://user:hunter2?x@host", "smtps://host/path"),
        *("smtps://user:hunter2#x@host", "smtp://user:hunter2@host", "smtps://[::1"),
    ],
)
def test_wrong_url_is_rejected_without_showing_it(monkeypatch, url):
    with pytest.raises(Misconfigured, match=r"^SMTP_URL: (must be|smtp:// has no TLS)") as raised:
        read_server(monkeypatch, SMTP_URL=url)
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.usefixtures("deployed_settings")
def test_deployed_stage_rejects_a_server_without_tls(monkeypatch):
    with pytest.raises(Misconfigured, match="smtp:// has no TLS"):
        read_server(monkeypatch, SMTP_URL="smtp://mail.example.com")


@pytest.mark.usefixtures("aws")
def test_url_with_the_password_comes_from_secrets_manager(monkeypatch):
    secrets_manager = boto3.client("secretsmanager")
    arn = secrets_manager.create_secret(Name="smtp", SecretString=f"smtps://{LOGIN}@mail.example.com")["ARN"]
    assert read_server(monkeypatch, SMTP_URL_SECRET_ARN=arn).password == PASSWORD
    secrets_manager.put_secret_value(SecretId="smtp", SecretString="smtps://")
    with pytest.raises(Misconfigured, match="SMTP_URL_SECRET_ARN: must be"):
        read_server(monkeypatch)
