"""Fuzzing of the served API with schemathesis: valid and invalid requests get only responses of docs/openapi.json.

``schemathesis.toml`` configures the checks. ``hooks.py`` has the callers and additional checks.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.factories import PASSWORD
from tests.support.fuzzing import scaled
from tests.support.openapi import DOCUMENT
from tests.support.runtime import PROJECT, Runtime

pytestmark = [pytest.mark.fuzz, pytest.mark.web]

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
#: An access token, an mfa_token, a refresh token or a step-up token.
TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.|(?:rt|su)_[\w-]{43}")


@pytest.mark.hypothesis  # schemathesis uses hypothesis, and `make fuzz` selects tests by this mark.
@pytest.mark.parametrize(
    ("caller", "phases", "number"),
    [
        ("anonymous", "examples,fuzzing", 5),
        ("user", "examples,fuzzing", 5),
        ("admin", "examples,coverage,fuzzing", 5),
        ("admin", "stateful", 30),
    ],
)
def test_generated_requests_get_only_documented_responses(service: Runtime, caller: str, phases: str, number: int):
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIGURATION)]
    command += ["run", str(DOCUMENT), "--url", service.url, "--no-color"]
    command += ["--phases", phases, "--max-examples", str(scaled(number))]
    command += ["--generation-deterministic"] if settings().derandomize else []
    fuzzed = {"FUZZ_CALLER": caller, "FUZZ_URL": service.url, "FUZZ_DATA": str(service.log_file.parent)}
    hooks = {"SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(PROJECT)}
    run = subprocess.run(
        command, cwd=PROJECT, env={**os.environ, **fuzzed, **hooks}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert not TOKEN.search(service.log)
    assert PASSWORD not in service.log
    assert all(line.isprintable() for line in service.log.split("\n"))
