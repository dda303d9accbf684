"""TLS to the database: a deployed stage says nothing to a server that does not prove its name."""

import socket
import ssl
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from auth_common.db.engine import read
from auth_common.errors import DatabaseUnavailable

#: PostgreSQL's SSLRequest: length 8 and the code 80877103 (protocol documentation, section 54.7).
SSL_REQUEST = bytes.fromhex("0000000804d2162f")


@pytest.fixture
def certificate(tmp_path):
    """A certificate for localhost, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    file.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


def serve_once(listener, certificate):
    """Take one connection as a PostgreSQL server does; return what the client says after TLS, "" for nothing."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(30)
        first = connection.recv(8)
        if first != SSL_REQUEST or certificate is None:
            connection.sendall(b"N")
            return first.removeprefix(SSL_REQUEST) + connection.recv(1024)
        connection.sendall(b"S")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        try:
            with context.wrap_socket(connection, server_side=True) as encrypted:
                return encrypted.recv(1024)
        except OSError:
            return b""


def said_to(monkeypatch, *, certificate, host="localhost", **parameters):
    """Return what the service says to such a server, beyond asking for TLS."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener, ThreadPoolExecutor(1) as threads:
        said: Future[bytes] = threads.submit(serve_once, listener, certificate)
        port = listener.getsockname()[1]
        query = "&".join(f"{name}={value}" for name, value in {"hostaddr": "127.0.0.1", **parameters}.items())
        monkeypatch.setenv("DATABASE_URL", f"postgresql+psycopg://service@{host}:{port}/auth?{query}")
        with pytest.raises(DatabaseUnavailable):
            read(lambda _: None)
        return said.result(timeout=60)


@pytest.mark.usefixtures("deployed")
def test_a_server_that_proves_its_name_is_spoken_to(monkeypatch, certificate):
    assert b"service" in said_to(monkeypatch, certificate=certificate, sslrootcert=certificate)


@pytest.mark.usefixtures("deployed")
def test_a_server_of_another_name_is_not(monkeypatch, certificate):
    assert said_to(monkeypatch, certificate=certificate, sslrootcert=certificate, host="db.example") == b""


@pytest.mark.usefixtures("deployed")
def test_a_server_of_an_unknown_authority_is_not(monkeypatch, certificate):
    assert said_to(monkeypatch, certificate=certificate, sslrootcert="system") == b""


@pytest.mark.usefixtures("deployed")
def test_a_server_without_tls_is_not(monkeypatch, certificate):
    assert said_to(monkeypatch, certificate=None, sslrootcert=certificate) == b""


@pytest.mark.usefixtures("deployed")
def test_no_url_makes_it_less_strict(monkeypatch, certificate):
    assert said_to(monkeypatch, certificate=None, sslrootcert=certificate, sslmode="disable") == b""
