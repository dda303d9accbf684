"""The version of the service, which one file has."""

import tomllib
from pathlib import Path
from typing import Final

_PROJECT: Final = Path(__file__).parents[2]


def read_version(project: Path = _PROJECT) -> str:
    """Return the version, such as ``1.2.3``."""
    file = project / "layers" / "common" / "pyproject.toml"
    version: str = tomllib.loads(file.read_text(encoding="utf-8"))["project"]["version"]
    return version
