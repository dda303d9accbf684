"""The project, served by the local runtime with rate limits that a fuzzer does not reach."""

import re
from collections.abc import Iterator

import pytest

from auth_common.settings import Settings
from tests.support.runtime import PROJECT, Runtime, running_runtime

_RATE_LIMIT = re.compile(r"throttle_.*_per_.*")
_LINKS = ("functions", "layers", "public", "pyproject.toml")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A running service whose template sets the largest allowed rate limits."""
    folder = tmp_path_factory.mktemp("fuzzed")
    project = folder / "project"
    project.mkdir()
    for name in _LINKS:
        (project / name).symlink_to(PROJECT / name)
    # The template sets the limits, because functions get no other environment variables.
    stage = "        STAGE: !Ref Stage\n"
    limits = "".join(f"        {name.upper()}: '{largest}'\n" for name, largest in _largest_rate_limits())
    (project / "template.yaml").write_text((PROJECT / "template.yaml").read_text().replace(stage, stage + limits))
    with running_runtime(folder / "data", project=project) as runtime:
        yield runtime


def _largest_rate_limits() -> Iterator[tuple[str, int]]:
    for name, field in Settings.__dataclass_fields__.items():
        if _RATE_LIMIT.fullmatch(name):
            yield name, field.metadata["bounds"].greatest
