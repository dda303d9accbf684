"""A full disk: writes fail with 503, reads succeed, and with free space everything works again.

The tests simulate the full disk with a limit on file sizes (RLIMIT_FSIZE), because it needs neither root nor a file
system. PostgreSQL is left out, because the limit would also stop its log.
"""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.databases import Database, start_fresh_environment
from tests.support.events import proxy_event
from tests.support.factories import get_health, get_jwks, get_user, log_in, refresh, register, sign_up
from tests.support.faults import assert_no_partial_changes, is_unavailable
from tests.support.functions import call
from tools.operators import keys

pytestmark = [pytest.mark.database, pytest.mark.fault, pytest.mark.usefixtures("log_lines")]

OTHER = "other@example.com"


@contextmanager
def full_disk(free: int = 0) -> Iterator[None]:
    """Make every write beyond ``free`` bytes of a file fail while the block runs."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def temporary_files(folder):
    return list(folder.rglob(".*"))


@pytest.fixture
def database(environment):
    return Database("sqlite", f"sqlite+pysqlite:///{environment / 'secure-backend.sqlite3'}")


@pytest.mark.parametrize("room", [0, 4_096, 8_192])
def test_write_on_a_full_disk_is_503_and_read_is_200(database, account, environment, room):
    log = environment / "secure-backend.sqlite3-wal"
    with full_disk(log.stat().st_size + room):
        responses = []
        for number in range(4):
            responses += [register(email=f"{number}-{OTHER}"), log_in(), refresh(account.refresh_token)]
        assert get_user(account.id, token=account.access_token).status == 200
        assert get_health().status == 200
    failed = [response for response in responses if response.status >= 400]
    assert len(failed) > 6
    assert all(map(is_unavailable, failed))
    assert log_in().status == 200
    assert register(email=OTHER).status == 201
    assert_no_partial_changes(database)


def test_first_start_on_a_full_disk_is_503_and_leaves_no_files(environment):
    with full_disk():
        assert is_unavailable(register())
        assert is_unavailable(log_in())
        assert is_unavailable(call("jwks", proxy_event("GET", "/.well-known/jwks.json")))
    sign_up()
    assert len(get_jwks()) == 1
    assert not temporary_files(environment)


def test_key_rotation_on_a_full_disk_keeps_the_key(account, environment, capsys):
    before = get_jwks()
    with full_disk():
        assert keys.main(["rotate"]) == 1
    assert "not available" in capsys.readouterr().err
    assert not temporary_files(environment)
    start_fresh_environment()
    assert get_jwks() == before
    assert log_in().status == 200
    assert get_user(account.id, token=account.access_token).status == 200
    assert keys.main(["rotate"]) == 0
    assert get_user(account.id, token=account.access_token).status == 200
