"""tools/template/sam_local.py changes private functions of SAM CLI."""

import pytest

from tests.support.runtime import run_command
from tests.support.sam import SAM_CLI
from tools.uv_path import uv_path

pytestmark = [pytest.mark.operations, pytest.mark.sam]


def test_launcher_runs_with_the_pinned_version_of_sam_cli():
    result = run_command(uv_path(), "run", "--script", "--locked", "tools/template/sam_local.py", "--version")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith(SAM_CLI.removeprefix("aws-sam-cli=="))
