"""Run the service's functions in this process: as in a new Lambda environment, with a temporary data folder."""

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

#: Settings of a service that hashes fast and allows a registration in each round.
SETTINGS: Final = {"BCRYPT_COST": "4", "THROTTLE_REGISTRATION_PER_SOURCE": "100000"}


@contextmanager
def fresh_service(**settings: str) -> Iterator[Path]:
    """Set up this process for a service with SQLite in a temporary folder, and yield that folder.

    The functions' output goes to a file there. Writing log lines is part of their work, but a terminal would slow it
    down.
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
    """Return the environment of a function's process: Lambda's and the template's variables, with fast hashes."""
    function = _functions()[folder]
    return {**function_environment(function, shell={}, data_dir=data_dir), "BCRYPT_COST": "4", **settings}


def _functions() -> dict[str, Function]:
    return {function.folder.name: function for function in load_template(PROJECT / "template.yaml").functions}


def handler_of(function: str) -> Any:
    """Return the Lambda handler of ``functions/<function>/app.py``."""
    return importlib.import_module(f"functions.{function}.app").handler


@contextmanager
def _output_in(file: Path) -> Iterator[None]:
    """Redirect standard output to ``file``, also output that does not use Python's ``sys.stdout``."""
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
