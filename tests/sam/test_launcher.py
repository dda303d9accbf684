"""tools/sam_local.py changes SAM CLI in places that are not its public interface."""

import subprocess

import pytest

from tests.support.runtime import PROJECT
from tests.support.sam import SAM_CLI
from tools.uv_path import uv_path

pytestmark = [pytest.mark.operations, pytest.mark.sam]


def test_the_pinned_sam_cli_has_the_places_that_the_launcher_changes():
    command = [uv_path(), "run", "--script", "--locked", "tools/sam_local.py", "--version"]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith(SAM_CLI.removeprefix("aws-sam-cli=="))
