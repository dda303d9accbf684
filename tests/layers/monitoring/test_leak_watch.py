"""The watch over the suite's own output (tests/support/leaks.py) finds what it is there to find."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.events

PROJECT = Path(__file__).parents[3]

#: Each test but the last writes the secret in another way.
SUITE = """
import base64, logging, subprocess, sys

from sqlalchemy import select

from auth_common.db.tables import users
from auth_common.monitoring.logger import logger
from tests.support import leaks
from tests.support.factories import PASSWORD, log_in, register

SECRET = "a-secret-of-the-suite"

def setup_function():
    leaks.remember(SECRET, SECRET.encode())

def test_in_a_field_of_a_harmless_name():
    logger.info("x", extra={"note": f"they typed {SECRET}"})

def test_in_a_message():
    logger.warning("got %s", SECRET)

def test_by_a_library():
    logging.getLogger("library").warning(SECRET)

def test_on_stderr():
    print(SECRET, file=sys.stderr)

def test_by_a_child_process():
    subprocess.run([sys.executable, "-c", f"print('{SECRET}')"], check=True)

def test_in_base64():
    print(base64.b64encode(SECRET.encode()).decode())

def test_in_hexadecimal():
    print(SECRET.encode().hex())

def test_read_by_the_test_itself(log_lines):
    logger.info(SECRET)
    assert SECRET in log_lines.text

def test_a_password(database):
    register()
    print(PASSWORD)

def test_a_stored_hash(database):
    register()
    print(database.execute(select(users.c.password_hash)))

def test_a_token(database):
    register()
    print(log_in().json["refresh_token"])

def test_the_pepper(environment):
    (environment / "pepper").write_bytes(b"0123456789abcdef")
    print(b"0123456789abcdef")

def test_nothing(database):
    register()
    log_in()
    print("the word secret is no secret")
"""


@pytest.mark.asvs("14.2.4", "16.2.5")
@pytest.mark.threat("function-leaked-secrets")
@pytest.mark.thorough  # starts a pytest of its own
def test_every_test_that_writes_a_secret_fails_and_no_other(tmp_path, monkeypatch):
    # Options of the run around this one, such as "-x", are none of the inner run's.
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    file = tmp_path / "test_suite.py"
    file.write_text(SUITE)
    pytest_here = [sys.executable, "-m", "pytest", "-c", str(PROJECT / "pyproject.toml"), "-p", "tests.conftest"]
    run = subprocess.run(
        [*pytest_here, "-p", "no:cacheprovider", "-q", "-rA", "-k", "not postgresql", str(file)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    summary = run.stdout.rpartition("short test summary info")[2]
    tests = re.findall(r"^def (test_\w+)", SUITE, re.MULTILINE)
    assert set(re.findall(r"^ERROR ::(test_\w+)", summary, re.MULTILINE)) == {*tests} - {"test_nothing"}
    assert set(re.findall(r"^PASSED ::(test_\w+)", summary, re.MULTILINE)) == {*tests}
