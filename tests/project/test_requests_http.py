"""requests.http, sent from top to bottom as VS Code does: responses have the status and code in the titles."""

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
#: The mailbox is a page of the local runtime. ``make sam`` has none.
WITH_MAILBOX = re.compile(r"^### .*mailbox.*\n(?:(?!### ).*\n)+", re.MULTILINE)
#: Responses of SAM's gateway itself have another status or no code (docs/sam-differences.md): the actual titles.
TITLES_UNDER_SAM = {
    "401 invalid_token: Get it without a token": "401: Get it without a token",
    "401 invalid_token: The mfa_token opens nothing but the second step": (
        "403: The mfa_token opens nothing but the second step"
    ),
}


@pytest.fixture
def send_all(tmp_path):
    """A function that sends all requests to a base URL, and returns each title with the actual status and code."""
    require(shutil.which("npm"), "needs Node.js and npm")
    shutil.copy(PROJECT / ".httpyac.js", tmp_path)

    def send_all(base, *, origin, mailbox_key="KEY", text=REQUESTS):
        with running_authenticator(tmp_path / "authenticator", origin) as authenticator:
            values = {"base": base, "authenticator": authenticator, "mailbox_key": mailbox_key}
            for name, value in values.items():
                # The other line with this variable is a comment.
                text, lines = re.subn(rf"^@{name} = .*", f"@{name} = {value}", text, flags=re.MULTILINE)
                assert lines == 1
            (tmp_path / "requests.http").write_text(text)
            command = ["npm", "exec", "--yes", "--package=httpyac@6.16.7", "--", "httpyac", "send", "requests.http"]
            with (tmp_path / "responses.json").open("w") as responses:  # httpYac truncates its output to a pipe.
                run = subprocess.run([*command, "--all", "--json"], cwd=tmp_path, stdout=responses, check=False)
        text = (tmp_path / "responses.json").read_text()
        assert run.returncode == 0, text
        return [_title(request) for request in json.loads(text)["requests"]]

    return send_all


def _title(request):
    """Return the title of a request, with the actual status, and the code of an error."""
    response = request["response"]
    media_type = response["headers"]["content-type"] if response.get("body") else ""
    document = json.loads(response["body"]) if media_type in {"application/problem+json", "application/json"} else {}
    # An error of OAuth has the member "error" (RFC 6749 section 5.2).
    code = document.get("code") or document.get("error") if response["statusCode"] >= 400 else None
    actual = f"{response['statusCode']} {code}" if code else response["statusCode"]
    return re.sub(r"^\d{3}[^:]*", str(actual), request["title"])


def test_local_runtime_returns_the_status_in_each_title(tmp_path, send_all):
    with running_service(tmp_path / "data") as url:
        key = (tmp_path / "data" / "mailbox-key").read_text()
        assert send_all(url, origin=url, mailbox_key=key) == TITLES


@pytest.mark.sam
@pytest.mark.xdist_group("sam")
def test_sam_returns_the_status_in_each_title_or_its_own(sam, send_all):
    requests, removed = WITH_MAILBOX.subn("", REQUESTS)
    assert removed == 2
    titles = [title for title in TITLES if "mailbox" not in title]
    actual = send_all(sam.url, origin="http://localhost:3000", text=requests)
    assert dict(zip(actual, titles, strict=True)) == {TITLES_UNDER_SAM.get(title, title): title for title in titles}
