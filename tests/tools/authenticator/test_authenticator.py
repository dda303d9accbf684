"""``uv run authenticator``: create credentials for WebAuthn options, by pipe and over HTTP."""

import io
import json
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.authenticator import running_authenticator
from tests.support.requirements import require
from tools.authenticator.command import CredentialHandler, main
from tools.authenticator.software_authenticator import from_base64url, to_base64url

CREATION: dict[str, Any] = {
    "rp": {"id": "localhost", "name": "Secure Backend"},
    "user": {"id": to_base64url(b"person"), "name": "person@example.com", "displayName": "Person"},
    "challenge": to_base64url(bytes(32)),
    "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
    "excludeCredentials": [],
}
REQUEST = {"rpId": "localhost", "challenge": to_base64url(bytes(32)), "allowCredentials": []}

pytestmark = [pytest.mark.passkeys, pytest.mark.usefixtures("environment")]


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command with JSON on standard input. Return its exit status, its output and its error text."""

    def run(*arguments: str, stdin: Any) -> tuple[int, Any, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin if isinstance(stdin, str) else json.dumps(stdin)))
        status = main(arguments)
        captured = capsys.readouterr()
        return status, json.loads(captured.out or "null"), captured.err

    return run


def origin(credential):
    encoded = credential["response"]["clientDataJSON"]
    return json.loads(from_base64url(encoded))["origin"]


def test_registered_key_signs_later_and_increments_its_counter(run):
    _, made, _ = run("register", stdin=CREATION)
    counts = []
    for _ in range(2):
        status, signed, _ = run("login", stdin=REQUEST)
        assert (status, signed["id"]) == (0, made["id"])
        assert signed["response"]["userHandle"] == CREATION["user"]["id"]
        counts.append(signed["response"]["authenticatorData"][-6:])
    assert counts[0] < counts[1]


def test_credential_has_the_origin_and_its_file_is_private(run, environment):
    _, made, _ = run("register", stdin=CREATION)
    assert origin(made) == "http://localhost:8000"
    assert origin(run("--origin", "https://example.com", "login", stdin=REQUEST)[1]) == "https://example.com"
    assert stat.S_IMODE((environment / "authenticator.json").stat().st_mode) == 0o600
    excluding = {**CREATION, "excludeCredentials": [{"type": "public-key", "id": made["id"]}]}
    status, output, error = run("register", stdin=excluding)
    assert (status, output) == (1, None)
    assert error == "authenticator: this authenticator is registered already\n"


@pytest.mark.parametrize(
    ("command", "stdin", "reason"),
    [
        ("login", REQUEST, "no credential that the options allow"),
        ("login", {**REQUEST, "rpId": "example.com"}, "no credential that the options allow"),
        ("register", {**CREATION, "pubKeyCredParams": [{"type": "public-key", "alg": -47}]}, "no algorithm of this"),
        ("register", REQUEST, "must be WebAuthn options for register"),
        ("login", [1], "must be WebAuthn options for login"),
        ("login", "not JSON", "Expecting value"),
    ],
)
def test_options_without_a_credential_are_an_error_with_its_reason(run, command, stdin, reason):
    status, output, error = run(command, stdin=stdin)
    assert (status, output) == (1, None)
    assert error.startswith("authenticator: ")
    assert reason in error


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    with running_authenticator(tmp_path_factory.mktemp("authenticator"), "http://localhost:8000") as url:
        yield httpx.URL(url).port


def test_requests_over_http_get_credentials(serving):
    def post(path, body, content_type="application/json"):
        response = client.post(path, content=body, headers={"Content-Type": content_type})
        return response.status_code, response.json()

    with httpx.Client(base_url=f"http://localhost:{serving}", timeout=30) as client:
        assert post("/register", json.dumps(REQUEST))[0] == 400
        status, made = post("/register", json.dumps(CREATION))
        assert status == 200
        allowed = [{"type": "public-key", "id": made["credential"]["id"]}]
        status, signed = post("/login", json.dumps({**REQUEST, "allowCredentials": allowed}))
        assert (status, signed["credential"]["id"]) == (200, made["credential"]["id"])
        assert post("/login", "{")[0] == 400
        assert post("/", json.dumps(REQUEST))[0] == 404
        # A page of another site can send this request without a preflight request (CORS).
        assert post("/login", json.dumps(REQUEST), "text/plain")[0] == 404


def send(address, port, head, body=b""):
    """Send a request and return the response's status, or None if the connection was closed without one."""
    with socket.create_connection((address, port), timeout=60) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        response = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(response.split()[1]) if response else None


POST = "POST /login HTTP/1.1\r\nContent-Type: application/json"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_both_addresses_are_served_while_another_connection_is_silent(serving, address):
    if address == "::1":
        require(condition=Path("/proc/net/if_inet6").exists(), reason="needs IPv6")
    with socket.create_connection(("127.0.0.1", serving)):
        host = f"[{address}]" if address == "::1" else address
        assert send(address, serving, f"{POST}\r\nHost: {host}:{serving}\r\nContent-Length: 1", b"{") == 400


def test_silent_connection_is_closed(environment, monkeypatch):
    monkeypatch.setattr(CredentialHandler, "timeout", 0.2)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(f"{POST}\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nonly".encode())
        CredentialHandler(theirs, ("::1", 1), None)  # type: ignore[arg-type]  # the handler does not use its server
        theirs.close()
        assert ours.recv(1) == b""


@pytest.mark.threat("page-dns-rebinding")
@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        (["localhost"], 200),
        (["attacker.example:8010"], 400),
        (["localhost", "attacker.example"], 400),
        (["localhost:"], 400),
        ([], 400),
    ],
    ids=str,
)
def test_host_of_dns_rebinding_gets_no_credential(serving, hosts, status):
    """An attacker's page whose domain resolves to 127.0.0.1 can send JSON without a preflight request."""
    body = json.dumps(CREATION).encode()
    head = "".join(f"\r\nHost: {host}" for host in hosts) + f"\r\nContent-Length: {len(body)}"
    assert send("127.0.0.1", serving, f"{POST.replace('login', 'register')}{head}", body) == status


@pytest.mark.parametrize("length", [str(64 * 1024 + 1), "9" * 5000, "-1", "x"])
def test_body_that_is_too_long_is_not_read(serving, length):
    assert send("127.0.0.1", serving, f"{POST}\r\nHost: localhost\r\nContent-Length: {length}") == 413


def test_port_in_use_is_an_error_that_suggests_another_port(environment, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 1
    assert f"--port {port + 1}" in capsys.readouterr().err
