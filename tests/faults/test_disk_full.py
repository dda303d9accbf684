"""The disk is full: nothing can be stored, what is stored can be read, and with space again everything goes on.

A limit on the size of files stands in for the disk: it takes no root and no file system of its own, and the kernel
rejects what is written. PostgreSQL's disk is left out: such a limit would end its log as well.
"""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.databases import Database, start_fresh_environment
from tests.support.events import proxy_event
from tests.support.factories import get_health, get_user, log_in, refresh, register, sign_up
from tests.support.faults import assert_nothing_half_done, is_unavailable
from tests.support.functions import call
from tools.operators import keys

pytestmark = [pytest.mark.database, pytest.mark.fault, pytest.mark.usefixtures("log_lines")]

OTHER = "other@example.com"


@contextmanager
def full_disk(free: int = 0) -> Iterator[None]:
    """Let no file grow beyond ``free`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def jwks():
    return call("jwks", proxy_event("GET", "/.well-known/jwks.json"))


def drafts(folder):
    return list(folder.rglob(".*"))


@pytest.fixture
def database(environment):
    return Database("sqlite", f"sqlite+pysqlite:///{environment / 'secure-backend.sqlite3'}")


@pytest.mark.parametrize("room", [0, 4_096, 8_192])
def test_request_that_stores_is_503_and_one_that_only_reads_is_not(database, person, environment, room):
    log = environment / "secure-backend.sqlite3-wal"
    with full_disk(log.stat().st_size + room):
        answers = []
        for number in range(4):
            answers += [register(email=f"{number}-{OTHER}"), log_in(), refresh(person.refresh_token)]
        assert get_user(person.id, token=person.access_token).status == 200
        assert get_health().status == 200
    refused = [answer for answer in answers if answer.status >= 400]
    assert len(refused) > 6
    assert all(map(is_unavailable, refused))
    assert log_in().status == 200
    assert register(email=OTHER).status == 201
    assert_nothing_half_done(database)


def test_first_start_is_503_and_leaves_nothing_for_the_next(environment):
    with full_disk():
        assert is_unavailable(register())
        assert is_unavailable(log_in())
        assert is_unavailable(jwks())
    sign_up()
    assert jwks().status == 200
    assert not drafts(environment)


def test_key_rotation_fails_and_leaves_the_key(person, environment, capsys):
    before = jwks().json
    with full_disk():
        assert keys.main(["rotate"]) == 1
    assert "not available" in capsys.readouterr().err
    assert not drafts(environment)
    start_fresh_environment()
    assert jwks().json == before
    assert log_in().status == 200
    assert get_user(person.id, token=person.access_token).status == 200
    assert keys.main(["rotate"]) == 0
    assert get_user(person.id, token=person.access_token).status == 200
