"""`make run`: this project's template in the local runtime."""

import json
import re
import socket
import stat
from uuid import UUID

import httpx
import pytest

from tests.support.factories import PASSWORD, registration
from tests.support.routes import OPEN_ROUTES

pytestmark = [pytest.mark.local_runtime, pytest.mark.xdist_group("local-service")]


def register(client, name):
    return client.post("/users", json=registration(name=name, email=f"{name.lower()}@example.com"))


def log_in(client, name):
    response = client.post("/login", json={"email": f"{name.lower()}@example.com", "password": PASSWORD})
    return {"Authorization": f"Bearer {response.raise_for_status().json()['access_token']}"}


def test_user_registers_logs_in_and_reads_only_own_data(client):
    ann, bob = register(client, "Ann"), register(client, "Bob")
    assert (ann.status_code, bob.status_code) == (201, 201)
    assert register(client, "Ann").json()["code"] == "email_taken"
    token = log_in(client, "Ann")

    own = client.get(ann.url.join(ann.headers["location"]), headers=token)
    assert (own.status_code, own.json()) == (200, ann.json())
    other = client.get(bob.url.join(bob.headers["location"]), headers=token)
    assert (other.status_code, other.json()["code"]) == (403, "forbidden")


def test_head_of_what_any_client_may_read_has_the_status_of_get(client):
    """Monitors and checkers of security.txt send HEAD (RFC 9110 section 9.1)."""
    for path in sorted(path for method, path in OPEN_ROUTES if method == "GET"):
        get, head = client.get(path), client.head(path)
        expected = (get.status_code, get.headers["content-type"], b"")
        assert (head.status_code, head.headers["content-type"], head.content) == expected, path


def send_raw(service, head, path="/health"):
    """Send a request whose head continues with ``head``. Return the status, the headers and the body."""
    with socket.create_connection(("127.0.0.1", httpx.URL(service.url).port), timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/{head}\r\nConnection: close\r\n\r\n".encode("latin-1"))
        response = b"".join(iter(lambda: connection.recv(65536), b""))
    headers, _, body = response.partition(b"\r\n\r\n")
    return int(headers.split()[1]), headers.lower(), body


HOSTS = (
    "localhost LOCALHOST:1 localhost.:8000 auth.localhost:65535 127.0.0.1:8000 127.255.255.254 127.1:8000 [::1]:8000"
    " [::1] [0:0:0:0:0:0:0:1]:8000 [::ffff:127.0.0.1]:8000 [::ffff:7f00:1]"
)
#: Malformed hosts, and hosts of other machines.
WRONG_HOSTS = (
    "localhost: localhost:x localhost:65536 localhost:123456 localhost:80:80 localhost.. localhost/ notlocalhost"
    " localhost.attacker.example attacker.example@localhost localhost@attacker.example 127.0.0.1.attacker.example"
    " 128.0.0.1 127.0.0.256 0.0.0.0 192.168.0.1 169.254.169.254 ::1 [::1 ::1] [] [::2] [1] [::1::1] [127.0.0.1]"
    " [::ffff:10.0.0.1] [::1%25lo] [::1]x [::1]: [v1.localhost] l\u00f6calhost %6cocalhost"
)


@pytest.mark.parametrize("host", HOSTS.split())
def test_host_of_this_machine_is_accepted(service, host):
    assert send_raw(service, f"1.1\r\nHost: {host}")[0] == 200


@pytest.mark.threat("page-dns-rebinding")
@pytest.mark.parametrize("path", ["/health", "/", "/docs", "/nowhere"])
def test_host_of_dns_rebinding_is_rejected(service, path):
    """An attacker's page whose domain resolves to 127.0.0.1 after it has loaded."""
    status, headers, body = send_raw(service, "1.1\r\nHost: attacker.example:8000\r\nX-Forwarded-Host: localhost", path)
    assert status == 400
    assert b"content-type: application/problem+json" in headers
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "head",
    [
        *[f"1.1\r\nHost: {host}" for host in ("", "localhost, attacker.example", "local host", *WRONG_HOSTS.split())],
        *("1.1", "1.0", "1.1\r\nHost: localhost\r\nHost: localhost"),
        "1.0\r\nHost: localhost\r\nHost: attacker.example",
    ],
)
def test_host_that_is_malformed_foreign_missing_or_repeated_is_rejected(service, head):
    assert send_raw(service, head)[0] == 400


def test_host_of_an_origin_of_the_pages_is_accepted(runtime):
    """A developer can add a name to /etc/hosts, to use passkeys of a real domain."""
    assert send_raw(runtime, "1.1\r\nHost: auth.test:8443", "/hello.txt")[0] == 200
    assert send_raw(runtime, "1.1\r\nHost: other.auth.test", "/hello.txt")[0] == 400


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": ""}, {"Authorization": "Bearer x"}, {"Authorization": f"Bearer {'a' * 100_000}"}],
    ids=["none", "empty", "nonsense", "100 kB"],
)
def test_request_without_a_valid_token_is_401_with_a_challenge(client, headers):
    response = client.get("/users/1", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert response.json()["code"] == "invalid_token"


@pytest.mark.asvs("3.2.1", "3.4.3", "3.4.4", "3.4.5", "3.5.8", "14.3.2")
@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/users", 404, "not_found"),
        ("POST", "/users/", 404, "not_found"),
        ("POST", "/users", 415, "unsupported_media_type"),
    ],
)
def test_problems_of_gateway_and_functions_have_the_same_shape(client, method, path, status, code):
    response = client.request(method, path)
    document, headers = response.json(), response.headers
    assert (response.status_code, document["code"]) == (status, code)
    assert dict(headers).items() >= {
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
    }
    # A directive without a list, or with 'none', allows nothing.
    policy = headers["content-security-policy"].replace(" 'none'", "")
    assert policy == "default-src; base-uri; frame-ancestors; sandbox"
    assert "set-cookie" not in headers
    assert headers.get("access-control-allow-origin") in {None, "*"}
    assert ("access-control-allow-origin" in headers) == (status == 404)  # decision 0021: a static text of the gateway
    assert headers["x-request-id"] == document["request_id"] == str(UUID(document["request_id"]))


@pytest.mark.asvs("3.4.2")
@pytest.mark.parametrize("path", ["/", "/security.html", "/docs", "/docs/openapi.json"])
def test_pages_and_api_documentation_allow_no_other_origin(client, path):
    for origin in ("http://localhost:3000", "https://evil.example", "null"):
        response = client.get(path, headers={"Origin": origin})
        assert response.status_code == 200
        assert [name for name in response.headers if name.startswith("access-control-")] == []


def test_body_over_six_megabytes_is_a_problem_document(client):
    response = client.post("/users", content=b"a" * 7_000_000)
    assert (response.status_code, response.json()["code"]) == (413, "request_too_large")


def test_health_and_public_keys_need_no_token(client):
    assert client.get("/health").json() == {"status": "ok"}
    first, *_ = client.get("/.well-known/jwks.json").json()["keys"]
    assert first.keys() == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    for path in ("/health", "/.well-known/jwks.json"):
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == client.get(path).headers["content-type"]
        assert "content-length" not in head.headers


def test_start_prints_the_routes(service):
    assert re.search(r"^ *GET +/users/\{id\} +GetUserFunction +TokenAuthorizer$", service.log, re.MULTILINE)


def test_data_files_are_private(service):
    for path in service.log_file.parent.rglob("*"):
        if path != service.log_file:
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_log_contains_no_password_and_no_token(client, service):
    register(client, "Dave")
    token = log_in(client, "Dave")["Authorization"].partition(" ")[2]
    client.get("/users/1", headers={"Authorization": f"Bearer {token}x"})
    assert PASSWORD not in service.log
    assert token not in service.log
    assert token.split(".")[2] not in service.log
