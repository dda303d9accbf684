"""requests.http, sent from top to bottom as VS Code sends it: each request gets the answer that its title names."""

import json
import re
import shutil
import subprocess

import pytest

from tests.support.authenticator import running_authenticator
from tests.support.requirements import require
from tests.support.runtime import PROJECT, running_service

pytestmark = [pytest.mark.docs, pytest.mark.httpyac]

REQUESTS = (PROJECT / "requests.http").read_text()
TITLES = re.findall(r"^### (.+)", REQUESTS, re.MULTILINE)
#: What SAM's gateway answers by itself has another status, or no code: docs/sam-differences.md.
SAMS_OWN = {
    "401 invalid_token: Get it without a token": "401: Get it without a token",
    "401 invalid_token: The mfa_token opens nothing but the second step": (
        "403: The mfa_token opens nothing but the second step"
    ),
}


@pytest.fixture
def send_all(tmp_path):
    """Send the file to another base and return, for each request, its title as it ought to be."""
    require(shutil.which("npm"), "needs Node.js and npm")
    shutil.copy(PROJECT / ".httpyac.js", tmp_path)

    def send_all(base, *, origin):
        with running_authenticator(tmp_path / "authenticator", origin) as authenticator:
            text = REQUESTS
            for name, value in (("base", base), ("authenticator", authenticator)):
                # One line to change: the other one is a comment.
                text, lines = re.subn(rf"^@{name} = .*", f"@{name} = {value}", text, flags=re.MULTILINE)
                assert lines == 1
            (tmp_path / "requests.http").write_text(text)
            command = ["npm", "exec", "--yes", "--package=httpyac@6.16.7", "--", "httpyac", "send", "requests.http"]
            with (tmp_path / "answers.json").open("w") as answers:  # httpYac would cut what it writes to a pipe
                run = subprocess.run([*command, "--all", "--json"], cwd=tmp_path, stdout=answers, check=False)
        text = (tmp_path / "answers.json").read_text()
        assert run.returncode == 0, text
        return [_title(request) for request in json.loads(text)["requests"]]

    return send_all


def _title(request):
    """Return the request's title, with the status and problem code that really came back."""
    response = request["response"]
    is_problem = response["headers"]["content-type"] == "application/problem+json" if response.get("body") else False
    came = f"{response['statusCode']} {json.loads(response['body'])['code']}" if is_problem else response["statusCode"]
    return re.sub(r"^\d{3}[^:]*", str(came), request["title"])


def test_the_local_runtime_answers_each_request_as_its_title_says(tmp_path, send_all):
    with running_service(tmp_path / "data") as url:
        assert send_all(url, origin=url) == TITLES


@pytest.mark.sam
@pytest.mark.xdist_group("sam")
def test_sam_answers_each_request_as_its_title_says_but_where_its_gateway_answers(sam, send_all):
    answered = send_all(sam.url, origin="http://localhost:3000")
    assert dict(zip(answered, TITLES, strict=True)) == {SAMS_OWN.get(title, title): title for title in TITLES}
