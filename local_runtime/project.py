"""A project's settings for the runtime: the table ``[tool.local_runtime]`` of its pyproject.toml.

The template describes the service. These settings describe the project's code around it, so that the runtime imports
nothing of the project.
"""

import dataclasses
import pkgutil
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The settings. Each has a default, so that a project needs none."""

    #: The command that starts the runtime, for error messages.
    command: str = "python -m local_runtime"
    #: A function ``package.module:name`` that checks the data folder before the start. Its argument is a ``Path``. The
    #: text of its exception is printed, and the runtime does not start.
    check_data: str = ""
    #: The OpenAPI document that ``/docs`` shows, relative to the template's folder.
    openapi: str = ""
    #: The folder, below the data folder, into which functions write mails as ``.eml`` files. ``/mail.html`` shows them.
    mailbox: str = ""
    #: The environment variable that lists the origins of the pages, separated by commas. Its default becomes the
    #: runtime's own URL, and ``Host`` may name the hosts of these origins.
    origins_variable: str = ""
    #: The environment variable with the service's own URL. Its default becomes the runtime's URL.
    url_variable: str = ""
    #: The logical ids of functions that run after each request. They are woken in a deployment by the functions
    #: themselves, which the runtime does not emulate.
    after_requests: tuple[str, ...] = ()
    #: Modules that the workers' parent process imports once, because they are slow to import.
    preload: tuple[str, ...] = ()
    #: Variables that each function gets from the shell although the template does not name them.
    shell_variables: tuple[str, ...] = ()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the settings in ``folder``'s pyproject.toml, or the defaults if it has none.

        Raises:
            ValueError: the file is not TOML, or a setting is unknown or has a value of another type.

        """
        try:
            document = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()
        except ValueError as error:
            message = f"pyproject.toml is not TOML: {error}"
            raise ValueError(message) from error
        table = document.get("tool", {}).get("local_runtime", {})
        defaults = {field.name: field.default for field in dataclasses.fields(cls)}
        for name, value in table.items():
            if name not in defaults:
                message = f"pyproject.toml: tool.local_runtime has no setting {name}"
                raise ValueError(message)
            if not _is_text_or_texts(value, expect_texts=isinstance(defaults[name], tuple)):
                kind = "a list of strings" if isinstance(defaults[name], tuple) else "a string"
                message = f"pyproject.toml: tool.local_runtime.{name} must be {kind}"
                raise ValueError(message)
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in table.items()
        }
        return cls(**values)

    def require_functions(self, names: Iterable[str]) -> None:
        """Require that ``names``, those of the template's functions, include the functions that run after requests.

        Raises:
            ValueError: a function is missing.

        """
        if missing := sorted(set(self.after_requests).difference(names)):
            message = f"pyproject.toml: tool.local_runtime.after_requests: the template has no {', '.join(missing)}"
            raise ValueError(message)

    def require_valid_data(self, folder: Path) -> None:
        """Call the function ``check_data`` with the data folder.

        Raises:
            ValueError: the function raised an exception. The text is the same.

        """
        if not self.check_data:
            return
        try:
            pkgutil.resolve_name(self.check_data)(folder)
        except Exception as error:
            raise ValueError(str(error)) from error


def _is_text_or_texts(value: Any, *, expect_texts: bool) -> bool:
    if expect_texts:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, str)
