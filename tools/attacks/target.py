"""The service that is attacked: a local runtime of its own, with data that is thrown away, on the loopback interface.

Nothing else can be attacked: every address is checked before the first byte is sent.
"""

import json
import os
import re
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
from urllib.parse import urlsplit

from auth_common.settings import Settings
from tools.attacks.log_lines import Line, read_lines

PROJECT: Final = Path(__file__).parents[2]
TEMPLATE: Final = PROJECT / "template.yaml"

_READY: Final = re.compile(r"Serving \S+ on (http://localhost:\d+)")
#: Seconds that the runtime may take to start, and an answer to come, on a machine that is busy with something else.
_PATIENCE: Final = 60


class NotLoopback(Exception):
    """Somebody wants to attack another machine."""


class NotStarted(Exception):
    """The local runtime did not start. The text is what it printed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request; ``document`` is its JSON, or ``None``."""

    status: int
    document: Any


@dataclass(frozen=True, slots=True)
class Target:
    """A service that may be attacked.

    Raises:
        NotLoopback: the URL leads to another machine, or nowhere.

    """

    url: str
    #: Its database and keys.
    data_dir: Path
    #: What the runtime and its functions print.
    log_file: Path
    #: The address that requests seem to come from, as a proxy of ours would say it.
    source: str = "198.51.100.254"
    #: How often each status was answered since it was cleared.
    statuses: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Check the address."""
        parts = urlsplit(self.url)
        try:
            found = socket.getaddrinfo(parts.hostname, parts.port)
        except OSError as error:
            raise NotLoopback(self.url) from error
        if not all(ip_address(address[0]).is_loopback for *_, address in found):
            raise NotLoopback(self.url)

    def send(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, step_up_token: str | None = None
    ) -> Answer:
        """Send a request, with ``body`` as JSON and ``token`` as bearer token."""
        parts = urlsplit(self.url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE)
        headers = {"X-Forwarded-For": self.source}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if step_up_token is not None:
            headers["Step-Up-Token"] = step_up_token
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        self.statuses[response.status] += 1
        return Answer(response.status, json.loads(text) if text else None)

    def as_from(self, source: str) -> "Target":
        """Return the same service, for somebody at another address."""
        return replace(self, source=source)

    def mark(self) -> int:
        """Return a place in the log, and forget the statuses so far: what comes next begins here."""
        self.statuses.clear()
        return self.log_file.stat().st_size

    def lines_since(self, mark: int) -> list[Line]:
        """Return what the functions have written since ``mark``. A function writes before it answers."""
        return read_lines(self.log_file.read_bytes()[mark:].decode(errors="replace"))


@contextmanager
def running_target() -> Iterator[Target]:
    """Start the project's local runtime on a free port, over an empty folder that is removed in the end.

    Raises:
        NotStarted: it did not come up.

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
            yield Target(_wait_until_ready(process, log_file), data_dir, log_file)
        finally:
            process.terminate()
            process.wait()


def runtime_environment(shell: Mapping[str, str], *, data_dir: Path) -> dict[str, str]:
    """Return the runtime's environment: the template decides, and a shell that names a real database does not."""
    inherited = {
        name: value
        for name, value in shell.items()
        if name.lower() not in Settings.__dataclass_fields__ and not name.startswith("POWERTOOLS_")
    }
    # Cheap hashes: what is attacked is not bcrypt. Two hops: the gateway names its caller, this one, who is trusted to
    # name the attacker's address; else all attacks would share one, and be one to the throttling.
    return {**inherited, "PORT": "0", "DATA_DIR": str(data_dir), "BCRYPT_COST": "4", "TRUSTED_PROXY_HOPS": "2"}


def _wait_until_ready(process: subprocess.Popen[bytes], log_file: Path) -> str:
    deadline = time.monotonic() + _PATIENCE
    while True:
        has_ended = process.poll() is not None
        printed = log_file.read_text(errors="replace")
        if ready := _READY.search(printed):
            return ready[1]
        if has_ended or time.monotonic() > deadline:
            raise NotStarted(printed)
        time.sleep(0.02)
