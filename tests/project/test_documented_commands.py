"""The commands in README and docs/ that have an output return that output."""

import shutil
from contextlib import nullcontext

import pytest

from tests.support.documentation import PAGES
from tests.support.documented_commands import DOCUMENTED_URL, Example, examples_of, run_examples
from tests.support.requirements import require
from tests.support.runtime import PROJECT, running_service

pytestmark = pytest.mark.docs

WITH_EXAMPLES = {page.relative_to(PROJECT).as_posix(): text for page, text in PAGES.items() if examples_of(text)}


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "README.md" else pytest.mark.thorough) for name in WITH_EXAMPLES]
)
def test_command_of_a_page_returns_the_output_on_the_page(tmp_path, name):
    require(shutil.which("curl"), "needs curl")
    data_dir = tmp_path / "data"
    page = WITH_EXAMPLES[name]
    # The operators' commands work on the data of a service.
    needs_service = any(DOCUMENTED_URL in each.command or "uv run" in each.command for each in examples_of(page))
    with running_service(data_dir) if needs_service else nullcontext(DOCUMENTED_URL) as url:
        for example, output in run_examples(page, url, env={"DATA_DIR": str(data_dir)}):
            assert example.shows(output), f"{example.command}\nreturned:\n{output}\nThe page shows:\n{example.output}"


def test_only_command_with_an_output_is_run():
    page = "```sh\nmake run\n```\n\nText.\n\n```sh\necho 1\n```\n\n```text\n1\n```\n"
    assert examples_of(page) == [Example("echo 1\n", "1\n")]
    assert {"README.md", "docs/errors.md"} <= WITH_EXAMPLES.keys()


@pytest.mark.parametrize(
    ("output", "is_shown"),
    [('{"id": "1"}', True), ('{"id":"23"}\n', True), ('{"id":1}', False), ('{"id":""} x', False)],
)
def test_output_is_compared_without_white_space_and_abbreviated_parts(output, is_shown):
    assert Example("", '{"id":\n "…"}').shows(output) is is_shown
