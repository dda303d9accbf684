"""TLS to the database: a deployed stage sends no data to a server that does not prove its name."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from auth_common.errors import DatabaseUnavailable
from auth_common.transactions import read
from tests.support.databases import start_fresh_environment
from tests.support.impostors import listen, receive_first_bytes

pytestmark = pytest.mark.database


def bytes_sent_to(monkeypatch, *, certificate, host="localhost", **parameters):
    """Return the bytes that the service sends to a server with ``certificate`` after the request for TLS."""
    with closing(listen()) as listener, ThreadPoolExecutor(1) as threads:
        said = threads.submit(receive_first_bytes, listener, certificate)
        port = listener.getsockname()[1]
        query = "&".join(f"{name}={value}" for name, value in {"hostaddr": "127.0.0.1", **parameters}.items())
        monkeypatch.setenv("DATABASE_URL", f"postgresql+psycopg://service@{host}:{port}/auth?{query}")
        start_fresh_environment()
        with pytest.raises(DatabaseUnavailable):
            read(lambda _: None)
        return said.result(timeout=60)


@pytest.mark.asvs("12.3.1", "12.3.2", "12.3.5")
@pytest.mark.threat("database-false-server")
@pytest.mark.usefixtures("deployed_settings")
def test_server_that_does_not_prove_its_name_by_tls_gets_no_data(monkeypatch, certificate):
    """Tested are another name, an unknown authority, no TLS, and a URL that disables TLS."""
    assert b"service" in bytes_sent_to(monkeypatch, certificate=certificate, sslrootcert=certificate)
    assert bytes_sent_to(monkeypatch, certificate=certificate, sslrootcert=certificate, host="db.example") == b""
    assert bytes_sent_to(monkeypatch, certificate=certificate, sslrootcert="system") == b""
    assert bytes_sent_to(monkeypatch, certificate=None, sslrootcert=certificate) == b""
    assert bytes_sent_to(monkeypatch, certificate=None, sslrootcert=certificate, sslmode="disable") == b""
