"""``make docs``: the tests in the column "Proof" of docs/threat-model.md, from the tests' markers."""

import re
from pathlib import Path
from typing import Final

from tools.docs import proofs

PAGE: Final = Path(__file__).parents[2] / "docs" / "threat-model.md"

#: The row of a threat: its id, three other cells, and its proof.
_ROW: Final = re.compile(
    r"^(?P<before>\| (?P<id>[a-z][a-z0-9-]*) \|(?:[^|\n]*\|){3})(?P<proof>[^|\n]*)(?=\|)", re.MULTILINE
)

#: A link in the form of ``proofs.link``.
_TEST: Final = re.compile(r"\[`[\w:]+`\]\(\.\./tests/[\w/]+\.py\)(?:, )?")


def with_tests(text: str, tests: dict[str, list[str]]) -> str:
    """Return the page with the tests of each threat in its proof, before the text that is written by hand."""

    def row(match: re.Match[str]) -> str:
        links = [proofs.link(test) for test in tests.get(match["id"], [])]
        by_hand = without_tests(match["proof"])
        return f"{match['before']} {', '.join(filter(None, [*links, by_hand]))} "

    return _ROW.sub(row, text)


def without_tests(proof: str) -> str:
    """Return the text in a cell of the column that is written by hand."""
    return _TEST.sub("", proof).strip().removesuffix(",")


def threats(text: str) -> list[tuple[str, str]]:
    """Return the id and the proof of each threat."""
    return [(match["id"], match["proof"]) for match in _ROW.finditer(text)]
