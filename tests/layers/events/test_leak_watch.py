"""The search for secrets in the output of the tests (tests/support/leaks.py) finds them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.events

PROJECT = Path(__file__).parents[3]

#: Each of these tests writes a secret in a different way.
LEAKING = {
    "field_of_a_harmless_name()": 'logger.info("x", extra={"note": f"they typed {SECRET}"})',
    "message()": 'logger.warning("got %s", SECRET)',
    "library()": 'logging.getLogger("library").warning(SECRET)',
    "stderr()": "print(SECRET, file=sys.stderr)",
    "child_process()": "subprocess.run([sys.executable, '-c', f\"print('{SECRET}')\"], check=True)",
    "base64()": "print(base64.b64encode(SECRET.encode()).decode())",
    "hexadecimal()": "print(SECRET.encode().hex())",
    "line_that_the_test_reads(log_lines)": "logger.info(SECRET); assert SECRET in log_lines.text",
    "password(database)": "register(); print(PASSWORD)",
    "stored_hash(database)": "register(); print(database.execute(select(users.c.password_hash)))",
    "token(database)": 'register(); print(log_in().json["refresh_token"])',
    "pepper(environment)": '(environment / "pepper").write_bytes(b"0123456789abcdef"); print(b"0123456789abcdef")',
}
HARMLESS = {"nothing(database)": 'register(); log_in(); print("the word secret is no secret")'}
SUITE = """
import base64, logging, subprocess, sys
from sqlalchemy import select
from auth_common.database.tables import users
from auth_common.events.logger import logger
from tests.support import leaks
from tests.support.factories import PASSWORD, log_in, register
SECRET = "a-secret-of-the-suite"
def setup_function(): leaks.remember(SECRET, SECRET.encode())
""" + "".join(f"def test_{signature}: {body}\n" for signature, body in (LEAKING | HARMLESS).items())


@pytest.mark.asvs("14.2.4", "16.2.5")
@pytest.mark.threat("function-leaked-secrets")
@pytest.mark.thorough  # starts another pytest
def test_suite_fails_exactly_in_the_tests_that_write_secrets(tmp_path, monkeypatch):
    # The inner run must not get options of the outer run, such as "-x".
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    file = tmp_path / "test_suite.py"
    file.write_text(SUITE)
    pytest_here = [sys.executable, "-m", "pytest", "-c", str(PROJECT / "pyproject.toml"), "-p", "tests.conftest"]
    command = [*pytest_here, "-p", "no:cacheprovider", "-q", "-rA", "-k", "not postgresql", str(file)]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    summary = run.stdout.rpartition("short test summary info")[2]
    found = re.findall(r"^(ERROR|PASSED) ::test_(\w+)", summary, re.MULTILINE)
    named = {outcome: {name for its, name in found if its == outcome} for outcome in ("ERROR", "PASSED")}
    leaking, harmless = ({signature.partition("(")[0] for signature in tests} for tests in (LEAKING, HARMLESS))
    assert named == {"ERROR": leaking, "PASSED": leaking | harmless}
