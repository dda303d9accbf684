"""Rotations of the signing key while users log in and refresh, and a rotation that is killed at each of its steps."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from auth_common.operations.key_rotation import rotate_signing_key
from tests.support.factories import get_jwks, get_user, log_in, refresh
from tests.support.faults import assert_no_partial_changes, on_sqlite

pytestmark = [pytest.mark.keys, pytest.mark.fault, on_sqlite]

ROTATIONS = 8
#: A rotation whose process exits instead of replacing its n-th file, without running handlers, as after SIGKILL.
KILLED_ROTATION = """
import os, sys
from pathlib import Path
from tools.operators import keys
left = int(sys.argv[1])
replace = Path.replace
def replace_or_die(*paths):
    global left
    left -= 1
    if left == 0:
        os._exit(9)
    return replace(*paths)
Path.replace = replace_or_die
sys.exit(keys.main(["rotate"]))
"""


def test_token_issued_during_key_rotations_is_accepted(database, account):
    is_over = Event()

    def use_account() -> int:
        pairs = 0
        while not is_over.is_set():
            pair = log_in().json
            assert get_user(account.id, token=pair["access_token"]).status == 200
            renewed = refresh(pair["refresh_token"]).json
            for token in (renewed["access_token"], pair["access_token"], account.access_token):
                assert get_user(account.id, token=token).status == 200
            pairs += 2
        return pairs

    with ThreadPoolExecutor(3) as threads:
        users = [threads.submit(use_account) for _ in range(3)]
        try:
            kids = {rotate_signing_key() for _ in range(ROTATIONS)}
        finally:
            is_over.set()
    assert all(user.result() for user in users)
    assert len(kids) == ROTATIONS
    assert kids < {key["kid"] for key in get_jwks()}
    assert_no_partial_changes(database)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_killed_key_rotation_can_be_repeated(database, account, step):
    command = [sys.executable, "-c", KILLED_ROTATION, str(step)]
    assert subprocess.run(command, env=dict(os.environ), stdout=subprocess.DEVNULL, check=False).returncode == 9
    during = log_in().json["access_token"]
    rotate_signing_key()
    for token in (account.access_token, during, log_in().json["access_token"]):
        assert get_user(account.id, token=token).status == 200
    assert_no_partial_changes(database)
