"""A client that openapi-python-client generates from docs/openapi.json works, and has types for dates and ids."""

import json

import pytest

from tests.support.openapi import DOCUMENT
from tests.support.runtime import run_command, running_service
from tools.uv_path import uv_path

pytestmark = [pytest.mark.docs, pytest.mark.thorough]


def test_generated_client_registers_logs_in_and_reads_the_user(tmp_path):
    folder = tmp_path / "client"
    folder.mkdir()
    script = [uv_path(), "run", "--script", "--locked", "tests/support/generated_client.py"]
    with running_service(tmp_path / "data") as url:
        done = run_command(*script, DOCUMENT, folder, url)
    assert done.returncode == 0, done.stderr
    user = json.loads(done.stdout)
    assert user == {"id": user["id"], "email": "generated@example.com", "date_of_birth": "1980-04-14"}
