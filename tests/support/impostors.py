"""Servers that pretend to be PostgreSQL and read what the service sends to them."""

import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: PostgreSQL's SSLRequest: length 8 and the code 80877103 (PostgreSQL documentation, "Message Formats").
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
_CLEARTEXT_PASSWORD = b"R" + (8).to_bytes(4) + (3).to_bytes(4)
REJECTION = "refused by this test"


def self_signed_certificate(folder: Path) -> Path:
    """Create a self-signed certificate for localhost, and return the file that contains the certificate and its key."""
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
    file = folder / "server.pem"
    file.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


def listen() -> socket.socket:
    """Return a socket that listens on a free port of 127.0.0.1."""
    return socket.create_server(("127.0.0.1", 0))


def receive_first_bytes(listener: socket.socket, certificate: Path | None) -> bytes:
    """Accept one connection, and return the first bytes of the client after the TLS handshake.

    Without ``certificate`` the server refuses TLS, and the result is what the client sends unencrypted. The result is
    empty if the client closes the connection first.
    """
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(30)
        first = connection.recv(8)
        if first != _SSL_REQUEST or certificate is None:
            connection.sendall(b"N")
            return first.removeprefix(_SSL_REQUEST) + connection.recv(1024)
        try:
            with _encrypted(connection, certificate) as encrypted:
                return encrypted.recv(1024)
        except OSError:
            return b""


def receive_password(listener: socket.socket, certificate: Path) -> str:
    """Accept one connection, request the password in clear text over TLS, reject it, and return it."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(30)
        assert connection.recv(8) == _SSL_REQUEST
        with _encrypted(connection, certificate) as encrypted, encrypted.makefile("rb") as words:
            words.read(int.from_bytes(words.read(4)) - 4)
            encrypted.sendall(_CLEARTEXT_PASSWORD)
            assert words.read(1) == b"p"
            password = words.read(int.from_bytes(words.read(4)) - 4).removesuffix(b"\0").decode()
            fields = f"SFATAL\0C28P01\0M{REJECTION}\0\0".encode()
            encrypted.sendall(b"E" + (len(fields) + 4).to_bytes(4) + fields)
            return password


def _encrypted(connection: socket.socket, certificate: Path) -> ssl.SSLSocket:
    connection.sendall(b"S")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context.wrap_socket(connection, server_side=True)
