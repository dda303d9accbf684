"""The transport SMTP, always with TLS and a verified server name, except to a server on the developer's machine."""

import smtplib
import socket
import ssl
from contextlib import closing, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from threading import Timer
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from auth_common.errors import Misconfigured
from auth_common.keys.shared_secrets import secret_text
from auth_common.mail.mime import sender_address
from auth_common.mail.transports import MAX_SECONDS, MailDeferred, MailNotSent, MailRefused
from auth_common.settings import settings

#: Seconds for connecting, for the TLS handshake, and for each response of the server.
RESPONSE_SECONDS: Final = 5
#: Seconds for everything after the server's greeting. Before it there are up to three waits.
CONVERSATION_SECONDS: Final = MAX_SECONDS - 3 * RESPONSE_SECONDS
#: RFC 5321 section 4.2.1: 4xx is a transient failure, and 5xx a permanent one.
_FIRST_PERMANENT_CODE: Final = 500
_PORTS: Final = {"smtps": 465, "smtp+starttls": 587, "smtp": 25}
_FORM: Final = "must be smtps://USER:PASSWORD@HOST or smtp+starttls://USER:PASSWORD@HOST; percent-encode @ : / ? #"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """A server to which mail is handed over, and the login there."""

    #: ``smtps``: TLS from the beginning (RFC 8314). ``smtp+starttls``: TLS after STARTTLS, which is required. ``smtp``:
    #: without TLS.
    scheme: str
    host: str
    port: int
    user: str
    password: str

    @classmethod
    def from_settings(cls) -> Self:
        """Return the server that ``SMTP_URL`` names, or the secret of ``SMTP_URL_SECRET_ARN``.

        Raises:
            Misconfigured: The URL is not valid. The message contains no part of it, because it has a password.

        """
        arn = settings().smtp_url_secret_arn
        setting = "SMTP_URL" if arn is None else "SMTP_URL_SECRET_ARN"
        text = settings().smtp_url or "" if arn is None else secret_text(arn, setting=setting)
        message = f"{setting}: {_FORM}"
        try:
            parts = urlsplit(text.strip())
            server = cls(
                scheme=parts.scheme,
                host=parts.hostname or "",
                port=parts.port or _PORTS[parts.scheme],
                user=unquote(parts.username or ""),
                password=unquote(parts.password or ""),
            )
        except (ValueError, KeyError):
            raise Misconfigured(message) from None
        if not server.host or parts.path.strip("/") or parts.query or parts.fragment:
            raise Misconfigured(message)
        if server.scheme == "smtp" and (settings().stage != "local" or server.user):
            message = f"{setting}: smtp:// has no TLS, so it is for the local stage and without a password"
            raise Misconfigured(message)
        return server


class Smtp:
    """Sends by an SMTP server, with a connection for each mail."""

    def __init__(self, server: SmtpServer) -> None:
        """Store the server."""
        self._server = server

    def send(self, message: EmailMessage, *, recipient: str) -> str | None:
        """Send a message. Return None, because SMTP has no message ids for later reports.

        If the connection ends between the message and the server's response, the server may have accepted the message.
        A later attempt then sends it again, with the same Message-ID.

        Raises:
            MailRefused: The server rejects the recipient or the message for good.
            MailDeferred: The server is away, slow or not the expected one, or rejects the login or the sender, or asks
                for a later attempt.

        """
        try:
            with closing(self._connect()) as connection:
                # A server that sends single bytes could extend each response for ever.
                watchdog = Timer(CONVERSATION_SECONDS, _cut, [connection])
                watchdog.start()
                try:
                    self._begin(connection)
                    connection.send_message(message, sender_address().addr_spec, [recipient])
                    # The server has accepted the message, so a failure from now on must not lead to another attempt.
                    with suppress(smtplib.SMTPException, OSError):
                        connection.quit()
                finally:
                    watchdog.cancel()
        except smtplib.SMTPRecipientsRefused as error:
            (code, _) = error.recipients[recipient]
            raise _failure(code, "recipient_refused") from None
        except smtplib.SMTPDataError as error:
            raise _failure(error.smtp_code, "message_refused") from None
        except (ssl.SSLError, smtplib.SMTPNotSupportedError) as error:
            raise MailDeferred("smtp_tls_failed") from error
        except (smtplib.SMTPException, OSError) as error:
            raise MailDeferred("smtp_unavailable") from error
        return None

    def _connect(self) -> smtplib.SMTP:
        # Without its own name, smtplib would look up this machine's, and tell it to the server.
        own_name = sender_address().domain
        server = self._server
        if server.scheme == "smtps":
            return smtplib.SMTP_SSL(
                server.host, server.port, own_name, timeout=RESPONSE_SECONDS, context=ssl.create_default_context()
            )
        return smtplib.SMTP(server.host, server.port, own_name, timeout=RESPONSE_SECONDS)

    def _begin(self, connection: smtplib.SMTP) -> None:
        """Encrypt the connection if it is not yet encrypted, and log in.

        Raises:
            MailDeferred: The server rejects the login, or offers none.

        """
        if self._server.scheme == "smtp+starttls":
            # An attacker in the network can remove STARTTLS from the server's list. Then this raises an exception.
            connection.starttls(context=ssl.create_default_context())
        if self._server.user:
            try:
                connection.login(self._server.user, self._server.password)
            except (smtplib.SMTPAuthenticationError, smtplib.SMTPNotSupportedError):
                raise MailDeferred("smtp_login_failed") from None


def _cut(connection: smtplib.SMTP) -> None:
    """End the connection, so that the thread that waits for a response gets an error."""
    with suppress(AttributeError, OSError):  # it has ended by itself
        connection.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]


def _failure(code: int, reason: str) -> MailNotSent:
    return MailRefused(reason) if code >= _FIRST_PERMANENT_CODE else MailDeferred(reason)
