"""SnapStart: environments that start from the same snapshot share no connection, audit chain or secret.

``fork()`` copies the memory of the process, as a snapshot does. Before the copy, the test calls the hooks of Lambda's
registry (``snapshot_restore_py``).
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
from tests.support.faults import assert_no_partial_changes, on_postgresql, service_backend
from tests.support.passkeys import begin_login

pytestmark = [pytest.mark.operations, pytest.mark.fault, on_postgresql]

COPIES = 2


def take_snapshot():
    """Call the registered hooks as Lambda's runtime does, the last one first."""
    for hook, arguments, options in reversed(snapshot_restore_py.get_before_snapshot()):
        hook(*arguments, **options)


def thaw(email):
    """Log in and begin a passkey login in a copy of this process.

    Return its database backend, challenge, access token and refresh token.
    """
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
            os._exit(0)  # Do not run the clean-up of pytest in the copy.
    os.close(writing)
    with os.fdopen(reading) as response:
        text = response.read()
    os.waitpid(pid, 0)
    return json.loads(text)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork() warns about threads, which are idle.
def test_thawed_environments_share_no_connection_chain_or_secret(database, account):
    original = service_backend()
    take_snapshot()
    thawed = [thaw(account.email) for _ in range(COPIES)]
    for values in zip(*thawed, strict=True):
        assert len({original, *values}) == COPIES + 1
    chains = database.execute(select(audit_events.c.chain_id).distinct())
    assert len(chains) == COPIES + 1
    for *_, token in thawed:
        assert refresh(token).status == 200
    assert service_backend() != original
    assert_no_partial_changes(database)


def test_snapshot_of_an_unused_environment_succeeds(database):
    take_snapshot()
    assert isinstance(sign_up(), Account)


def test_snapshot_hook_without_lambdas_registry_is_returned(database, monkeypatch):
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", None)

    def hook() -> None:
        raise AssertionError("the hook is never called")

    assert snapshots.before_snapshot(hook) is hook
