"""``uv run authenticator``: a software authenticator, which lets scripts and requests.http use passkeys.

The commands ``register`` and ``login`` read WebAuthn options as JSON from standard input and write the credential as
JSON. The command ``login`` signs the challenge of a login or a step-up. The command ``serve`` does the same over HTTP:
POST /register and POST /login accept the options and return ``{"credential": ...}``.

For development only: the keys are unencrypted in DATA_DIR (.local), and the user is not asked for a touch or a PIN.
"""

import argparse
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final, cast

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from auth_common.file_lock import exclusive_lock
from auth_common.settings import settings
from local_runtime.hosts import is_own_host
from local_runtime.ports import PortInUse, listen
from tools.authenticator.software_authenticator import (
    Credential,
    NoCredential,
    PrivateKey,
    SoftwareAuthenticator,
    from_base64url,
    to_base64url,
)

_FILE: Final = "authenticator.json"
_COMMANDS: Final = ("register", "login")
#: Options with a long list of credentials have a few KiB.
_MAX_BODY_BYTES: Final = 64 * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(
        prog="authenticator", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--origin", default="http://localhost:8000", help="the origin of the page (default: %(default)s)"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("register", help="create a key: PublicKeyCredentialCreationOptionsJSON to credential")
    commands.add_parser("login", help="log in or step up: PublicKeyCredentialRequestOptionsJSON to credential")
    serve = commands.add_parser("serve", help="offer both over HTTP until Ctrl-C")
    serve.add_argument("--port", type=int, default=8010, help="on localhost (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    if chosen.command == "serve":
        return _serve(chosen.origin, chosen.port)
    try:
        credential = create_credential(chosen.command, json.load(sys.stdin), origin=chosen.origin)
    except (NoCredential, ValueError) as error:
        sys.stderr.write(f"authenticator: {error}\n")
        return 1
    sys.stdout.write(f"{json.dumps(credential)}\n")
    return 0


def create_credential(command: str, options: Any, *, origin: str) -> dict[str, Any]:
    """Return the credential for WebAuthn options, as JSON for the service. Store new keys in DATA_DIR.

    Args:
        command: ``register`` or ``login``.
        options: the JSON of the options in the service's response.
        origin: the page's origin, which a browser would report.

    Raises:
        NoCredential: there is no key that the options allow, or a key that they exclude.
        ValueError: ``options`` are not WebAuthn options for this command.

    """
    file = settings().data_dir / _FILE
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with exclusive_lock(file.with_suffix(".lock")):
        authenticator = SoftwareAuthenticator(origin=origin, credentials=_load(file))
        try:
            ceremony = authenticator.register if command == "register" else authenticator.authenticate
            credential = ceremony(options)
        except (LookupError, TypeError, AttributeError) as error:
            message = f"the input must be WebAuthn options for {command}: {error!r}"
            raise ValueError(message) from error
        _save(file, authenticator.credentials)
    return credential


def _load(file: Path) -> list[Credential]:
    if not file.exists():
        return []
    return [
        Credential(
            id=from_base64url(stored["id"]),
            rp_id=stored["rp_id"],
            user_handle=from_base64url(stored["user_handle"]),
            key=cast("PrivateKey", load_pem_private_key(stored["key"].encode(), password=None)),
            sign_count=stored["sign_count"],
        )
        for stored in json.loads(file.read_text())
    ]


def _save(file: Path, credentials: Sequence[Credential]) -> None:
    document = [
        {
            "id": to_base64url(credential.id),
            "rp_id": credential.rp_id,
            "user_handle": to_base64url(credential.user_handle),
            "key": credential.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "sign_count": credential.sign_count,
        }
        for credential in credentials
    ]
    new = file.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as output:
        json.dump(document, output, indent=2)
    new.replace(file)


def _serve(origin: str, port: int) -> int:
    class Handler(CredentialHandler):
        page = origin

    try:
        sockets = listen(port, command="uv run authenticator serve --port {}")
    except (PortInUse, OSError, OverflowError) as error:
        sys.stderr.write(f"authenticator: {error}\n")
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):  # a process that a shell starts in the background ignores SIGINT
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        for listening in sockets:
            Thread(target=_Server(listening, Handler).serve_forever, daemon=True).start()
        sys.stdout.write(
            f"Serving credentials for {origin} on http://localhost:{sockets[0].getsockname()[1]} (Ctrl-C stops it)\n"
        )
        sys.stdout.flush()
        signal.pause()
    return 0


class _Server(ThreadingHTTPServer):
    """An HTTP server on an existing listening socket, with a thread for each connection."""

    def __init__(self, listening: socket.socket, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(listening.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        # http.server sets these when it binds a socket.
        self.server_name, self.server_port = "localhost", listening.getsockname()[1]


class CredentialHandler(BaseHTTPRequestHandler):
    """Handles POST /register and POST /login."""

    page: str
    #: Seconds that a connection may be silent.
    timeout = 10

    def do_POST(self) -> None:
        """Send the credential for the options in the body, or an error."""
        command = self.path.removeprefix("/")
        length = self.headers.get("Content-Length", "0")
        # A page of another site can send a form or plain text to this server, but JSON only with CORS, which this
        # server does not allow. A page whose domain resolves to this machine (DNS rebinding) can send JSON, but not
        # another Host.
        if not is_own_host(self.headers.get_all("Host", [])):
            self._send(HTTPStatus.BAD_REQUEST, {"error": "the Host must be localhost"})
        elif command not in _COMMANDS or self.headers.get_content_type() != "application/json":
            self._send(HTTPStatus.NOT_FOUND, {"error": "POST /register or /login with a JSON body"})
        elif not length.isdecimal() or len(length) > len(str(_MAX_BODY_BYTES)) or int(length) > _MAX_BODY_BYTES:
            self._send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": f"at most {_MAX_BODY_BYTES} bytes"})
        else:
            self._send_credential(command, int(length))

    def _send_credential(self, command: str, length: int) -> None:
        try:
            credential = create_credential(command, json.loads(self.rfile.read(length)), origin=self.page)
        except TimeoutError:
            return  # the client has sent no complete body, so the connection is closed
        except (NoCredential, ValueError) as error:
            self._send(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        else:
            self._send(HTTPStatus.OK, {"credential": credential})

    def log_message(self, *_: object) -> None:
        """Write no log lines."""

    def _send(self, status: HTTPStatus, document: Mapping[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
