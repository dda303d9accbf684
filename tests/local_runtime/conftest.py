"""Fixtures with running processes of the local runtime: for the small service in ``project/``, and for this project."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.runtime import Runtime, running_runtime

PROBE_PROJECT = Path(__file__).parent / "project"
SECRET_OF_THE_SHELL = "a secret of the developer's shell"


@pytest.fixture(scope="session")
def probe_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of ``runtime``, which the runtime creates."""
    return tmp_path_factory.mktemp("probe") / "new" / "er"


@pytest.fixture(scope="session")
def runtime(probe_data: Path) -> Iterator[Runtime]:
    """A runtime for ``project/``, whose functions return their event and their environment.

    The name of the temporary folder is long, because the path of a Unix domain socket has at most 107 bytes.
    """
    folder = probe_data.parents[1]
    temporary_folder = folder / ("t" * 100)
    temporary_folder.mkdir()
    shell = {"OVERRIDABLE": "from the shell", "AWS_SECRET_ACCESS_KEY": SECRET_OF_THE_SHELL}
    folders = {"DATA_DIR": str(probe_data), "TMPDIR": str(temporary_folder)}
    environment = {**shell, **folders, "WEBAUTHN_ORIGINS": "https://auth.test:8443"}
    with running_runtime(folder, project=PROBE_PROJECT, env=environment) as runtime:
        yield runtime


@pytest.fixture(scope="session")
def probe(runtime: Runtime) -> Iterator[httpx.Client]:
    """A client of ``runtime``."""
    with httpx.Client(base_url=runtime.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A runtime for this project. The name of its data folder has characters with a meaning in URLs."""
    with running_runtime(tmp_path_factory.mktemp("service") / "q?1 100% done#2") as runtime:
        yield runtime


@pytest.fixture(scope="session")
def client(service: Runtime) -> Iterator[httpx.Client]:
    """A client of ``service``."""
    with httpx.Client(base_url=service.url, timeout=60) as client:
        yield client
