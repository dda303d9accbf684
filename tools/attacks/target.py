"""The attacked service: a local runtime with temporary data.

Only services on the loopback interface can be attacked. The address is checked before the first request.
"""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from auth_common.events.client_ip import lock_hash
from auth_common.settings import Settings
from tools.attacks.log_lines import Line, read_lines

#: Another service, which gets tokens of its callers.
RESOURCE: Final = "https://orders.example.com"
PROJECT: Final = Path(__file__).parents[2]
TEMPLATE: Final = PROJECT / "template.yaml"

_READY: Final = re.compile(r"Serving \S+ on (http://localhost:\d+)")
#: Seconds to wait for the start of the runtime, and for a response. They suffice on a busy machine.
_TIMEOUT: Final = 60
#: The secret by which the attacked service believes a client IP, as it believes a proxy's.
_LOCK: Final = secrets.token_hex()


class NotLoopback(Exception):
    """The URL of the target is not on the loopback interface. The text is the URL."""


class NotStarted(Exception):
    """The local runtime did not start. The text is its output."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response. ``document`` is the JSON of its body, or None if the body is empty."""

    status: int
    document: Any


@dataclass(frozen=True, slots=True)
class Target:
    """A service to attack, and the client IP of the attacker.

    Raises:
        NotLoopback: the host of the URL is another machine, or does not resolve.

    """

    url: str
    #: The folder with the service's database and keys.
    data_dir: Path
    #: The output of the runtime and its functions.
    log_file: Path
    #: The client IP, which requests contain in ``X-Client-IP`` as from a trusted proxy.
    client_ip: str = "198.51.100.254"
    #: The lock that the requests contain. With a wrong one, the service believes the IP of the connection only.
    lock: str = field(default=_LOCK, repr=False)
    #: The number of responses with each HTTP status since ``start_measuring``.
    statuses: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Check that the URL is on the loopback interface."""
        parts = urlsplit(self.url)
        try:
            found = socket.getaddrinfo(parts.hostname, parts.port)
        except OSError as error:
            raise NotLoopback(self.url) from error
        if not all(ip_address(address[0]).is_loopback for *_, address in found):
            raise NotLoopback(self.url)

    def send(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, step_up_token: str | None = None
    ) -> Response:
        """Send a request with ``body`` as JSON and ``token`` as bearer token. Return the response."""
        headers = {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if step_up_token is not None:
            headers["Step-Up-Token"] = step_up_token
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        return self._send(method, path, content, headers)

    def send_form(self, path: str, parameters: Mapping[str, str]) -> Response:
        """Send a form by ``POST``, as clients of OAuth do. Return the response."""
        return self._send(
            "POST", path, urlencode(parameters).encode(), {"Content-Type": "application/x-www-form-urlencoded"}
        )

    def _send(self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]) -> Response:
        parts = urlsplit(self.url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT)
        by_proxy = {"X-Client-IP": self.client_ip, "X-Proxy-Lock": self.lock}
        try:
            connection.request(method, path, content, {**by_proxy, **headers})
            received = connection.getresponse()
            text = received.read()
        finally:
            connection.close()
        self.statuses[received.status] += 1
        return Response(received.status, json.loads(text) if text else None)

    def mails_to(self, email: str) -> list[dict[str, Any]]:
        """Return the newest mails to an address, the newest first, as the local runtime's ``/mail.json`` lists them.

        Only the mailbox's user can read them. So the request is no part of an attack, and is not counted.
        """
        reader = replace(self, statuses=Counter())
        key = (self.data_dir / "mailbox-key").read_text()
        mails: list[dict[str, Any]] = reader.send("GET", f"/mail.json?to={quote(email)}&key={key}").document["items"]
        return mails

    def with_client_ip(self, client_ip: str, *, lock: str = _LOCK) -> "Target":
        """Return the same service for a client with another IP address. Both count statuses together."""
        return replace(self, client_ip=client_ip, lock=lock)

    def start_measuring(self) -> int:
        """Reset the counted statuses. Return the current end of the log, for ``lines_since``."""
        self.statuses.clear()
        return self.log_file.stat().st_size

    def lines_since(self, start: int) -> list[Line]:
        """Return the log lines since ``start``, which ``start_measuring`` returned.

        A function writes its lines before it responds, so the lines of all requests with a response are there.
        """
        return read_lines(self.log_file.read_bytes()[start:].decode(errors="replace"))


@contextmanager
def running_target() -> Iterator[Target]:
    """Start the local runtime on a free port with an empty data folder. Delete the folder at the end.

    Raises:
        NotStarted: the runtime did not start.

    """
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        data_dir, log_file = Path(folder) / "data", Path(folder) / "runtime.log"
        with log_file.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "local_runtime"],
                cwd=PROJECT,
                env=runtime_environment(os.environ, data_dir=data_dir),
                stdout=output,
                stderr=output,
            )
        try:
            yield Target(wait_until_ready(process, log_file), data_dir, log_file)
        finally:
            process.terminate()
            process.wait()


def runtime_environment(shell: Mapping[str, str], *, data_dir: Path) -> dict[str, str]:
    """Return the environment variables of a runtime whose service is attacked."""
    # The attacks do not test bcrypt, so its cost is low. With the lock, the service believes the header X-Client-IP.
    # Otherwise all attacks would share one client IP and its rate limits.
    return {
        **without_settings(shell),
        "PORT": "0",
        "DATA_DIR": str(data_dir),
        "BCRYPT_COST": "4",
        "PROXY_LOCKS": lock_hash(_LOCK),
        "TOKEN_RESOURCES": RESOURCE,
    }


def without_settings(shell: Mapping[str, str]) -> dict[str, str]:
    """Return ``shell`` without settings of the service, which may name a real database."""
    return {
        name: value
        for name, value in shell.items()
        if name.lower() not in Settings.__dataclass_fields__ and not name.startswith("POWERTOOLS_")
    }


def wait_until_ready(process: subprocess.Popen[bytes], log_file: Path) -> str:
    """Return the URL of a local runtime that has just been started, as soon as it serves.

    Raises:
        NotStarted: The runtime exited, or did not serve within a minute.

    """
    deadline = time.monotonic() + _TIMEOUT
    while True:
        has_ended = process.poll() is not None
        printed = log_file.read_text(errors="replace")
        if ready := _READY.search(printed):
            return ready[1]
        if has_ended or time.monotonic() > deadline:
            raise NotStarted(printed)
        time.sleep(0.02)
