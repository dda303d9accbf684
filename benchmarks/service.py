"""A service of the ``local`` stage in this process, as fresh as a new Lambda environment, with storage of its own."""

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from auth_common.settings import Settings
from local_runtime.environment import function_environment
from local_runtime.template import Function, load_template
from tests.support.databases import start_fresh_environment

PROJECT: Final = Path(__file__).parents[1]

#: Of a service that may register as many people as there are rounds.
SETTINGS: Final = {"BCRYPT_COST": "4", "THROTTLE_REGISTRATION_PER_SOURCE": "100000"}


@contextmanager
def fresh_service(**settings: str) -> Iterator[Path]:
    """Set up the environment for a service with SQLite in a temporary folder, and yield that folder.

    What the functions print goes into a file there: writing log lines is a part of their work, but a terminal would be
    a slow reader.
    """
    shell = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        try:
            for name in Settings.__dataclass_fields__:
                os.environ.pop(name.upper(), None)
            os.environ.update(_powertools_variables(), **settings, DATA_DIR=folder)
            start_fresh_environment()
            with _output_in(Path(folder, "functions.log")):
                yield Path(folder)
        finally:
            start_fresh_environment()
            os.environ.clear()
            os.environ.update(shell)


def _powertools_variables() -> dict[str, str]:
    variables = _functions()["health"].environment
    return {name: value for name, value in variables.items() if name.startswith("POWERTOOLS_")}


def environment_of(folder: str, data_dir: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a function's process: Lambda's variables and the template's; passwords hash fast."""
    function = _functions()[folder]
    return {**function_environment(function, shell={}, data_dir=data_dir), "BCRYPT_COST": "4", **settings}


def _functions() -> dict[str, Function]:
    return {function.folder.name: function for function in load_template(PROJECT / "template.yaml").functions}


def handler_of(function: str) -> Any:
    """Return the Lambda handler of ``functions/<function>``."""
    return importlib.import_module(f"functions.{function}.app").handler


@contextmanager
def _output_in(file: Path) -> Iterator[None]:
    """Send standard output, also what is written below Python, to ``file``."""
    sys.stdout.flush()
    terminal = os.dup(1)
    with file.open("ab") as output:
        os.dup2(output.fileno(), 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(terminal, 1)
        os.close(terminal)
