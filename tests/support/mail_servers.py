"""Real SMTP servers (aiosmtpd) with TLS, and servers that break the protocol."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from socket import create_server, socket
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from tests.support.impostors import self_signed_certificate

USER, PASSWORD = "service@example.com", "p@ss:w/rd?#"


@dataclass
class Inbox:
    """A handler of aiosmtpd that stores each mail, and responds to RCPT and DATA with the given lines."""

    rcpt: str = "250 OK"
    data: str = "250 OK"
    #: Seconds before the response to DATA.
    delay: float = 0
    #: Whether the connection ends after the message, before the response.
    is_cut: bool = False
    envelopes: list[Envelope] = field(default_factory=list)
    #: The name that each client gave, and whether it was logged in.
    clients: list[tuple[str, bool]] = field(default_factory=list)

    async def handle_RCPT(self, _server: SMTP, session: Session, envelope: Envelope, address: str, _: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Respond to the recipient."""
        self.clients.append((str(session.host_name), bool(session.authenticated)))
        envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Store the mail."""
        await asyncio.sleep(self.delay)
        if self.data.startswith("2"):
            self.envelopes.append(envelope)
        if self.is_cut and server.transport:
            server.transport.close()
        return self.data


@contextmanager
def smtp_server(folder: Path, inbox: Inbox, *, scheme: str, has_login: bool = True) -> Iterator[str]:
    """Run a server for ``localhost`` with a certificate in ``folder``, and yield its URL without user and password.

    Args:
        folder: for the file ``server.pem``.
        inbox: gets the mails.
        scheme: ``smtps``, ``smtp+starttls`` or ``smtp``.
        has_login: whether a server of ``smtps`` offers a login.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed_certificate(folder))
    options: dict[str, Any] = {"authenticator": _authenticate}
    encrypted = context if scheme == "smtps" else None
    if scheme == "smtps" and has_login:
        options |= {"auth_require_tls": False}  # aiosmtpd knows only the TLS of STARTTLS
    elif scheme == "smtp+starttls":
        options |= {"tls_context": context, "require_starttls": True, "auth_required": True}
    # aiosmtpd's own Controller cannot listen on a free port.
    loop = asyncio.new_event_loop()
    connections: list[SMTP] = []

    def accept() -> SMTP:
        connections.append(SMTP(inbox, loop=loop, **options))
        return connections[-1]

    async def close() -> None:
        server.close()
        for connection in connections:
            # Python 3.11.2 raises AttributeError for a TLS connection that was closed twice.
            with suppress(AttributeError):
                if isinstance(connection.transport, asyncio.Transport):
                    connection.transport.abort()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.wait(others)
        await asyncio.sleep(0.01)  # asyncio closes the sockets in its next rounds

    server = loop.run_until_complete(loop.create_server(accept, "127.0.0.1", 0, ssl=encrypted))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"{scheme}://localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(close())
        loop.close()


def _authenticate(_server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    is_right = mechanism in {"LOGIN", "PLAIN"} and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=is_right, handled=is_right)


@contextmanager
def tcp_server(serve: Callable[[socket], None]) -> Iterator[int]:
    """Run a server whose connections ``serve`` handles, one after the other, and yield its port."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    serve(connection)

    with create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(2)
    thread.join()


def a_message(recipient: str = "ada@example.com") -> EmailMessage:
    """Return a message for tests of transports."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "no-reply@example.com", recipient, "Hello"
    message.set_content("Grüße\n.\nend")
    return message
