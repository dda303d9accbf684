"""tools/template/sam_local.py changes SAM CLI in places that are not its public interface."""

import pytest

from tests.support.runtime import run_command
from tests.support.sam import SAM_CLI
from tools.uv_path import uv_path

pytestmark = [pytest.mark.operations, pytest.mark.sam]


def test_the_pinned_sam_cli_has_the_places_that_the_launcher_changes():
    result = run_command(uv_path(), "run", "--script", "--locked", "tools/template/sam_local.py", "--version")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith(SAM_CLI.removeprefix("aws-sam-cli=="))
