"""Run the commands of a documentation page, and compare their output with the output that the page shows.

A ``sh`` block that is followed by another block is a command with its output. In the output, "…" stands for any text,
and white space is not compared. In a command, a name such as ACCESS_TOKEN stands for the member ``access_token`` of an
earlier output on the page.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import TIMEOUT_SECONDS

#: The service in the commands of the pages.
DOCUMENTED_URL = "http://localhost:8000"
_TEXT_OF_BLOCK = r"(?:(?!```).*\n)*?"
_EXAMPLE = re.compile(
    rf"^```sh\n(?P<command>{_TEXT_OF_BLOCK})```\n\n```(?:json|text)\n(?P<output>{_TEXT_OF_BLOCK})```$", re.MULTILINE
)


@dataclass(frozen=True)
class Example:
    """A command of a page, and the output that the page shows."""

    command: str
    output: str

    def shows(self, output: str) -> bool:
        """Return whether a real output is the one that the page shows."""
        parts = ("".join(part.split()) for part in self.output.split("…"))
        return re.fullmatch(".*".join(map(re.escape, parts)), "".join(output.split())) is not None


def examples_of(page: str) -> list[Example]:
    """Return the commands of a page that have an output, in their order."""
    return [Example(match["command"], match["output"]) for match in _EXAMPLE.finditer(page)]


def run_examples(page: str, url: str, *, env: Mapping[str, str]) -> Iterator[tuple[Example, str]]:
    """Run the commands of a page one after another, and yield each with its real output.

    Args:
        page: The text of the page.
        url: The service, instead of ``DOCUMENTED_URL``.
        env: Additional environment variables.
    """
    scripts = Path(sys.executable).parent
    environment = {**os.environ, **env, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    values: dict[str, str] = {}
    for example in examples_of(page):
        command = example.command.replace(DOCUMENTED_URL, url).replace("uv run ", "")
        for name, value in values.items():
            command = re.sub(rf"\b{name}\b", value, command)
        shell = ["bash", "-c", command]
        result = subprocess.run(
            shell, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
        )
        yield example, result.stdout or result.stderr
        values |= _values_in(result.stdout)


def _values_in(output: str) -> dict[str, str]:
    """Return the texts in a JSON object by name, in upper case. Return nothing for other output."""
    try:
        document = json.loads(output)
    except ValueError:
        return {}
    return {name.upper(): value for name, value in document.items() if isinstance(value, str)}
