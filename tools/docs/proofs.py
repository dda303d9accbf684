"""Find the tests that prove a requirement of ASVS or the control of a threat, by their markers.

``@pytest.mark.asvs("6.2.1")`` names requirements of docs/asvs/register.toml, ``@pytest.mark.threat("page-xss")`` names
rows of docs/threat-model.md.
"""

import io
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Final

import pytest

PROJECT: Final = Path(__file__).parents[2]

#: With these options pytest imports all tests, but runs none.
_OPTIONS: Final = ("--collect-only", "--quiet")


@dataclass(frozen=True)
class Proofs:
    """The tests for each id, as ``path::name``. Each field has the name of its marker."""

    asvs: dict[str, list[str]]
    threat: dict[str, list[str]]


class _Collector:
    """A pytest plugin that stores the tests."""

    def __init__(self) -> None:
        self.items: list[pytest.Item] = []

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Store a test. pytest deselects tests only after this hook, so all tests are stored."""
        self.items.append(item)


def among(items: Iterable[pytest.Item]) -> Proofs:
    """Return the proofs among collected tests."""
    found: dict[str, dict[str, set[str]]] = {marker.name: defaultdict(set) for marker in fields(Proofs)}
    for item in items:
        # pytest-xdist appends the group of a test, as in test_name@group.
        test = item.nodeid.partition("[")[0].partition("@")[0]
        for marker, tests in found.items():
            for mark in item.iter_markers(marker):
                for name in mark.args:
                    tests[name].add(test)
    return Proofs(**{marker: {name: sorted(proofs) for name, proofs in ids.items()} for marker, ids in found.items()})


@cache
def collect(folder: Path = PROJECT) -> Proofs:
    """Return the proofs among the tests in ``folder``.

    A new process collects the tests, so that options and plugins of a running pytest have no effect.
    """
    environment = {**os.environ, "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "tools.docs.proofs"]
    result = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True)  # noqa: S603 - this module
    return Proofs(**json.loads(result.stdout))


def link(test: str) -> str:
    """Return a Markdown link from a page in docs/ to a test."""
    path, _, name = test.partition("::")
    return f"[`{name}`](../{path})"


def main() -> None:
    """Print the proofs among the tests of the working directory as JSON."""
    collector = _Collector()
    with redirect_stdout(io.StringIO()) as output:
        code = pytest.main([*_OPTIONS], plugins=[collector])
    if code:
        sys.exit(output.getvalue())
    json.dump(asdict(among(collector.items)), sys.stdout)


if __name__ == "__main__":
    main()
