"""The version of the service, which one file has."""

import tomllib
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).parents[2] / "layers" / "common" / "pyproject.toml"


def read_version() -> str:
    """Return the version, such as ``1.2.3``."""
    version: str = tomllib.loads(_FILE.read_text(encoding="utf-8"))["project"]["version"]
    return version
