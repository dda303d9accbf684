"""This project over the local runtime, with rate limits that a fuzzer does not reach."""

import re
from collections.abc import Iterator

import pytest

from auth_common.settings import Settings
from tests.support.runtime import PROJECT, Runtime, running_runtime

_BUDGET = re.compile(r"throttle_.*_per_.*")
_BESIDE_THE_TEMPLATE = ("functions", "layers", "public")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """The service."""
    folder = tmp_path_factory.mktemp("fuzzed")
    project = folder / "project"
    project.mkdir()
    for name in _BESIDE_THE_TEMPLATE:
        (project / name).symlink_to(PROJECT / name)
    # A function sees the variables of the template alone.
    stage = "        STAGE: !Ref Stage\n"
    budgets = "".join(f"        {name.upper()}: '{most}'\n" for name, most in _largest_budgets())
    (project / "template.yaml").write_text((PROJECT / "template.yaml").read_text().replace(stage, stage + budgets))
    with running_runtime(folder / "data", project=project) as runtime:
        yield runtime


def _largest_budgets() -> Iterator[tuple[str, int]]:
    for name, field in Settings.__dataclass_fields__.items():
        if _BUDGET.fullmatch(name):
            yield name, field.metadata["bounds"].greatest
