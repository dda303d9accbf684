"""requests.http, sent from top to bottom as VS Code sends it: each request gets the answer that its title names."""

import json
import re
import shutil
import subprocess

import pytest

from tests.support.requirements import require
from tests.support.runtime import PROJECT, running_service

pytestmark = pytest.mark.httpyac

REQUESTS = (PROJECT / "requests.http").read_text()
TITLES = re.findall(r"^### (.+)", REQUESTS, re.MULTILINE)


@pytest.fixture
def send_all(tmp_path):
    """Send the file to another base and return, for each request, its title as it ought to be."""
    require(shutil.which("npm"), "needs Node.js and npm")
    shutil.copy(PROJECT / ".httpyac.js", tmp_path)

    def send_all(base):
        text, bases = re.subn(r"^@base = .*", f"@base = {base}", REQUESTS, flags=re.MULTILINE)
        assert bases == 1  # the one line to change; the other one is a comment
        (tmp_path / "requests.http").write_text(text)
        command = ["npm", "exec", "--yes", "--package=httpyac@6.16.7", "--", "httpyac", "send", "requests.http"]
        run = subprocess.run([*command, "--all", "--json"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
        return [_title(request) for request in json.loads(run.stdout)["requests"]]

    return send_all


def _title(request):
    """Return the request's title, with the status and problem code that really came back."""
    response = request["response"]
    is_problem = response["headers"]["content-type"] == "application/problem+json" if response.get("body") else False
    came = f"{response['statusCode']} {json.loads(response['body'])['code']}" if is_problem else response["statusCode"]
    return re.sub(r"^\d{3}[^:]*", str(came), request["title"])


def test_the_local_runtime_answers_each_request_as_its_title_says(tmp_path, send_all):
    with running_service(tmp_path / "data") as url:
        assert send_all(url) == TITLES


@pytest.mark.sam
def test_sam_answers_each_request_as_its_title_says_but_where_its_gateway_answers(sam, send_all):
    by_the_gateway = "401 invalid_token: Get it without a token"  # SAM's has no code: docs/sam-differences.md
    expected = ["401: Get it without a token" if title == by_the_gateway else title for title in TITLES]
    assert send_all(sam.url) == expected
