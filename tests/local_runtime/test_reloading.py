"""A change of the code or of the template counts at the next request."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest

from local_runtime.reloading import watch
from tests.support.processes import wait_until
from tests.support.runtime import running_runtime

pytestmark = pytest.mark.local_runtime


@pytest.fixture
def runtime(copied_project, tmp_path):
    with running_runtime(tmp_path / "data", project=copied_project) as runtime:
        wait_until(lambda: httpx.get(f"{runtime.url}/greeting", timeout=60).text == "hello")
        yield runtime


def write_greeting(project, text):
    (project / "functions/greeting/app.py").write_text(text)


def greeting(text):
    return f'def handler(event, context):\n    return {{"statusCode": 200, "body": "{text}"}}\n'


def test_changes_count_at_once_and_mistakes_can_be_mended(runtime, copied_project):
    def get(path="/greeting"):
        return httpx.get(f"{runtime.url}{path}", timeout=60)

    def answers(text):
        return get().text == text

    # Of the same length and within the same second: Python's cache of bytecode takes such a file for unchanged.
    for text in ("first", "other", "third"):
        write_greeting(copied_project, greeting(text))
        wait_until(partial(answers, text))

    write_greeting(copied_project, "def handler(event, context:\n")
    wait_until(lambda: get().status_code == 502)
    assert "SyntaxError" in runtime.log
    write_greeting(copied_project, greeting("mended"))
    wait_until(lambda: get().text == "mended")

    template = copied_project / "template.yaml"
    intact = template.read_text()
    template.write_text(intact.replace("Path: /greeting", "Path: /salute"))
    wait_until(lambda: get("/salute").text == "mended")
    assert get().status_code == 403

    template.write_text("Resources: [")
    wait_until(lambda: get("/salute").status_code == 502)
    assert "template.yaml cannot be read" in runtime.log
    # As editors save: a new file takes the old one's name.
    draft = copied_project / "template.yaml.new"
    draft.write_text(intact)
    draft.replace(template)
    wait_until(lambda: get().text == "mended")


def test_a_change_empties_the_authorizers_cache(runtime, copied_project, tmp_path):
    def calls():
        httpx.get(f"{runtime.url}/protected/1", headers={"Authorization": "Allow"}, timeout=60).raise_for_status()
        return len((tmp_path / "data/authorizer-calls").read_text().splitlines())

    assert (calls(), calls()) == (1, 1)
    write_greeting(copied_project, greeting("changed"))
    wait_until(lambda: "reloaded" in runtime.log)
    assert calls() == 2


def test_a_request_under_way_ends_with_the_code_that_it_began_with(runtime, copied_project, tmp_path):
    with ThreadPoolExecutor() as clients:
        under_way = clients.submit(httpx.get, f"{runtime.url}/meeting?meeting=open&attendants=2", timeout=60)
        wait_until(lambda: list(tmp_path.glob("data/open/*")))
        write_greeting(copied_project, greeting("changed"))
        wait_until(lambda: "reloaded" in runtime.log)
        (tmp_path / "data/open/test").touch()
        assert under_way.result().json()["met"] == 2


def test_where_changes_cannot_be_noticed_serving_goes_on_and_says_so(tmp_path, caplog):
    """A system allows so many watches; a folder that does not exist fails in the same way."""
    with caplog.at_level(logging.WARNING):
        asyncio.run(watch(tmp_path / "nowhere/template.yaml", lambda: None))
    assert "changes are not noticed" in caplog.text
