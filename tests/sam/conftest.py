from collections.abc import Iterator

import pytest

from tests.support.sam import Sam, require_docker, running_sam


@pytest.fixture(scope="session")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sam]:
    """SAM as `make sam` serves it, one for the whole session: it takes half a minute to start."""
    require_docker()
    with running_sam(tmp_path_factory.mktemp("sam") / "sam.log") as running:
        yield running
