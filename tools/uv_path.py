"""Find uv. Every tool, benchmark and test that starts uv asks here."""

import os
import shutil
from pathlib import Path
from typing import Final

#: The private copy that the Makefile installs on a machine without uv.
_PRIVATE_COPY: Final = Path(__file__).parents[1] / ".tools" / "bin" / "uv"


def uv_path() -> str:
    """Return the path of uv: the uv that started this process, else the one on PATH, else the Makefile's copy.

    Raises:
        FileNotFoundError: None of the three exists.

    """
    # uv names itself in this variable to every process that it starts.
    found = os.environ.get("UV") or shutil.which("uv") or shutil.which(_PRIVATE_COPY)
    if found is None:
        message = f"uv is neither on PATH nor at {_PRIVATE_COPY}: run `make .tools/bin/uv` to install a private copy"
        raise FileNotFoundError(message)
    return found
