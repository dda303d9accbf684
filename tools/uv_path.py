"""Find uv. Every tool, benchmark and test that starts uv uses this module."""

import os
import shutil
from pathlib import Path
from typing import Final

_PROJECT: Final = Path(__file__).parents[1]


def uv_path(project: Path = _PROJECT) -> str:
    """Return the path of uv: the uv that started this process, else the one on PATH, else the Makefile's copy.

    Args:
        project: The folder whose Makefile installs a private copy on a machine without uv.

    Raises:
        FileNotFoundError: None of the three exists.

    """
    private_copy = project / ".tools" / "bin" / "uv"
    # uv names itself in this variable to every process that it starts.
    found = os.environ.get("UV") or shutil.which("uv") or shutil.which(str(private_copy))
    if found is None:
        message = f"uv is neither on PATH nor at {private_copy}: run `make .tools/bin/uv` to install a private copy"
        raise FileNotFoundError(message)
    return found
