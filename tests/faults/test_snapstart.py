"""SnapStart: environments that are thawed from one snapshot share nothing that must be one environment's own.

``fork()`` makes the copies, of everything that a process has in memory, and Lambda's own registry of hooks says what is
called before.
"""

import json
import os
import sys

import pytest
import snapshot_restore_py
from sqlalchemy import select

from auth_common import snapshots
from auth_common.database.tables import audit_events
from tests.support.factories import Account, log_in, refresh, sign_up
from tests.support.faults import assert_nothing_half_done, on_postgresql, service_backend
from tests.support.passkeys import begin_login

pytestmark = [pytest.mark.operations, pytest.mark.fault, on_postgresql]

COPIES = 2


def take_snapshot():
    """Do what Lambda's runtime does: call the hooks, the last registered first."""
    for hook, arguments, options in reversed(snapshot_restore_py.get_before_snapshot()):
        hook(*arguments, **options)


def thaw(email):
    """Go on in a copy of this process, and return what it did there."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            pair = log_in(email).json
            result = [
                service_backend(),
                begin_login()["options"]["challenge"],
                pair["access_token"],
                pair["refresh_token"],
            ]
            os.write(writing, json.dumps(result).encode())
        finally:
            os._exit(0)  # nothing of the test's own ends twice
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return json.loads(text)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of threads, none of which does anything here
def test_thawed_environments_share_no_connection_chain_or_secret(database, person):
    frozen = service_backend()
    take_snapshot()
    thawed = [thaw(person.email) for _ in range(COPIES)]
    for ours in zip(*thawed, strict=True):
        assert len({frozen, *ours}) == COPIES + 1
    chains = database.execute(select(audit_events.c.chain_id).distinct())
    assert len(chains) == COPIES + 1
    for *_, token in thawed:
        assert refresh(token).status == 200
    assert service_backend() != frozen
    assert_nothing_half_done(database)


def test_snapshot_of_an_unused_environment_is_taken(database):
    take_snapshot()
    assert isinstance(sign_up(), Account)


def test_hook_without_the_registry_of_lambda_is_returned(database, monkeypatch):
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", None)

    def let_go() -> None:
        raise AssertionError("it is never called")

    assert snapshots.before_snapshot(let_go) is let_go
