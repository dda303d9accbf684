"""TLS to the database: a deployed stage says nothing to a server that does not prove its name."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from auth_common.db.engine import read
from auth_common.errors import DatabaseUnavailable
from tests.support.impostors import listen, said_first

pytestmark = pytest.mark.database


def said_to(monkeypatch, *, certificate, host="localhost", **parameters):
    """Return what the service says to such a server, beyond asking for TLS."""
    with closing(listen()) as listener, ThreadPoolExecutor(1) as threads:
        said = threads.submit(said_first, listener, certificate)
        port = listener.getsockname()[1]
        query = "&".join(f"{name}={value}" for name, value in {"hostaddr": "127.0.0.1", **parameters}.items())
        monkeypatch.setenv("DATABASE_URL", f"postgresql+psycopg://service@{host}:{port}/auth?{query}")
        with pytest.raises(DatabaseUnavailable):
            read(lambda _: None)
        return said.result(timeout=60)


@pytest.mark.asvs("12.3.2")
@pytest.mark.usefixtures("deployed")
def test_a_server_that_proves_its_name_is_spoken_to(monkeypatch, certificate):
    assert b"service" in said_to(monkeypatch, certificate=certificate, sslrootcert=certificate)


@pytest.mark.asvs("12.3.2", "12.3.5")
@pytest.mark.threat("database-false-server")
@pytest.mark.usefixtures("deployed")
def test_a_server_of_another_name_is_not(monkeypatch, certificate):
    assert said_to(monkeypatch, certificate=certificate, sslrootcert=certificate, host="db.example") == b""


@pytest.mark.asvs("12.3.2")
@pytest.mark.usefixtures("deployed")
def test_a_server_of_an_unknown_authority_is_not(monkeypatch, certificate):
    assert said_to(monkeypatch, certificate=certificate, sslrootcert="system") == b""


@pytest.mark.asvs("12.3.1")
@pytest.mark.usefixtures("deployed")
def test_a_server_without_tls_is_not(monkeypatch, certificate):
    assert said_to(monkeypatch, certificate=None, sslrootcert=certificate) == b""


@pytest.mark.asvs("12.3.1")
@pytest.mark.threat("database-false-server")
@pytest.mark.usefixtures("deployed")
def test_no_url_makes_it_less_strict(monkeypatch, certificate):
    assert said_to(monkeypatch, certificate=None, sslrootcert=certificate, sslmode="disable") == b""
