"""After a change of the code or the template, the next request uses the new version."""

import asyncio
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from local_runtime.reloading import watch
from tests.local_runtime.conftest import PROBE_PROJECT
from tests.support.processes import wait_until
from tests.support.runtime import running_runtime

pytestmark = pytest.mark.local_runtime


@pytest.fixture(scope="module")
def copied_project(tmp_path_factory):
    """A copy of ``project/``, which the tests change while it is served."""
    return Path(shutil.copytree(PROBE_PROJECT, tmp_path_factory.mktemp("copy") / "project"))


@pytest.fixture(scope="module")
def runtime(copied_project):
    with running_runtime(copied_project.parent / "data", project=copied_project) as runtime:
        wait_until(lambda: httpx.get(f"{runtime.url}/greeting", timeout=60).text == "hello")
        yield runtime


@pytest.fixture
def get(runtime):
    return lambda path="/greeting", **options: httpx.get(f"{runtime.url}{path}", timeout=60, **options)


@pytest.fixture
def greet(get, copied_project):
    """Change the greeting in the code, and wait until the runtime serves it."""

    def greet(text):
        code = f'def handler(event, context):\n    return {{"statusCode": 200, "body": "{text}"}}\n'
        (copied_project / "functions/greeting/app.py").write_text(code)
        wait_until(lambda: get().text == text)

    return greet


def test_change_of_code_empties_the_authorizers_cache(get, greet, copied_project):
    def calls():
        get("/protected/1", headers={"Authorization": "Allow"}).raise_for_status()
        return len((copied_project.parent / "data/authorizer-calls").read_text().splitlines())

    assert (calls(), calls()) == (1, 1)
    greet("changed")
    assert calls() == 2


def test_running_request_finishes_with_the_old_code(get, greet, copied_project):
    data = copied_project.parent / "data"
    with ThreadPoolExecutor() as clients:
        running_request = clients.submit(get, "/meeting?meeting=open&attendants=2")
        wait_until(lambda: list(data.glob("open/*")))
        greet("changed meanwhile")
        (data / "open/test").touch()
        assert running_request.result().json()["met"] == 2


def test_changes_of_code_and_template_are_served_also_after_errors(get, greet, runtime, copied_project):
    # The versions have the same length and the same second, so Python's bytecode cache would regard them as unchanged.
    for text in ("first", "other", "third"):
        greet(text)

    (copied_project / "functions/greeting/app.py").write_text("def handler(event, context:\n")
    wait_until(lambda: get().status_code == 502)
    assert "SyntaxError" in runtime.log
    greet("fixed")

    template = copied_project / "template.yaml"
    intact = template.read_text()
    template.write_text(intact.replace("Path: /greeting", "Path: /salute"))
    wait_until(lambda: get("/salute").text == "fixed")
    assert get().status_code == 403

    template.write_text("Resources: [")
    wait_until(lambda: get("/salute").status_code == 502)
    assert "template.yaml cannot be read" in runtime.log
    # Many editors save in this way: a new file replaces the old one.
    draft = copied_project / "template.yaml.new"
    draft.write_text(intact)
    draft.replace(template)
    wait_until(lambda: get().text == "fixed")


def test_changes_that_cannot_be_watched_cause_a_warning(tmp_path, caplog):
    """The system limits the number of watches. A missing folder causes the same kind of error."""
    with caplog.at_level(logging.WARNING):
        asyncio.run(watch(tmp_path / "nowhere/template.yaml", lambda: None))
    assert "reloading does not work" in caplog.text
