"""Imported by the process from which environments are forked: it imports the service and serves a few requests.

Libraries load much at their first use. That would take most of the time of a short example.
"""

import os
import sys
from tempfile import TemporaryDirectory

from tests.stateful import machine  # noqa: F401 - its jobs are unpickled in environments
from tests.support.databases import start_fresh_environment
from tests.support.factories import get_user, log_in, log_out, refresh, sign_up
from tests.support.passkeys import enrol

os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
with TemporaryDirectory() as folder:
    os.environ.update(DATA_DIR=folder, DATABASE_URL="")
    user = sign_up()
    refresh(user.refresh_token)
    get_user(user.id, token=user.access_token)
    enrol(user).log_in()
    log_out(user.access_token)
    log_in(password="not the password")
    start_fresh_environment()
# Otherwise buffered output would appear in the log of each environment.
sys.stdout.flush()
