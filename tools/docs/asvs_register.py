"""The register of ASVS 5.0: OWASP's requirements, and what this service does about each of them.

``docs/asvs/requirements.csv`` is OWASP's list, unchanged. ``docs/asvs/register.toml`` is ours. Its entries are named
after a requirement ("6.2.1"); those that do not apply may be named after a section ("6.8") or a chapter ("17").
"""

import csv
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[2] / "docs" / "asvs"

STATUSES: Final = {
    "met": "Met",
    "infrastructure": "Met by infrastructure",
    "not_met": "Not met",
    "not_applicable": "Does not apply",
}

#: The README's list is grouped by these; an entry that names none goes to that of its chapter or section.
GROUPS: Final = {
    "Passwords and accounts": ("2", "6"),
    "Second factors": ("6.5", "6.6", "6.7"),
    "Sessions and tokens": ("7", "8", "9", "10"),
    "Data and logs": ("11", "14", "16"),
    "Infrastructure": ("1", "3", "4", "12", "13", "15"),
}


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A requirement in OWASP's words. ``id``, ``section`` and ``chapter`` are numbers: "6.2.1", "6.2", "6"."""

    id: str
    level: int
    chapter: str
    chapter_name: str
    section: str
    section_name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What we say about a requirement.

    Who does not meet it says ``control``, ``why`` and ``instead``, or with ``same_as`` which entry has said it.
    """

    status: str
    how: str = ""
    proof: tuple[str, ...] = ()
    control: str = ""
    why: str = ""
    instead: str = ""
    group: str = ""
    same_as: str = ""


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A control that the README names as not implemented, with the requirements that ask for it."""

    control: str
    why: str
    instead: str
    group: str
    asks: tuple[str, ...] = field(default=())


def place(number: str) -> tuple[int, ...]:
    """Return what sorts "6.2.10" behind "6.2.9"."""
    return tuple(int(part) for part in number.split("."))


def requirements() -> list[Requirement]:
    """Return OWASP's requirements, in their order."""
    with (FOLDER / "requirements.csv").open(encoding="utf-8", newline="") as file:
        return [
            Requirement(
                id=row["req_id"].removeprefix("V"),
                level=int(row["L"]),
                chapter=row["chapter_id"].removeprefix("V"),
                chapter_name=row["chapter_name"],
                section=row["section_id"].removeprefix("V"),
                section_name=row["section_name"],
                text=" ".join(row["req_description"].split()),
            )
            for row in csv.DictReader(file)
        ]


class Register:
    """Our data file."""

    def __init__(self, text: str) -> None:
        """Read it from TOML."""
        data = tomllib.loads(text)
        self._others = data.pop("other", [])
        self.entries = {number: Entry(**{**row, "proof": tuple(row.get("proof", ()))}) for number, row in data.items()}

    def covering(self, requirement: Requirement) -> list[str]:
        """Return the names of the entries that speak of a requirement: there must be one."""
        names = (requirement.id, requirement.section, requirement.chapter)
        return [name for name in names if name in self.entries]

    def entry(self, requirement: Requirement) -> Entry:
        """Return what the register says of a requirement."""
        return self.entries[self.covering(requirement)[0]]

    def gaps(self, number: str) -> list[str]:
        """Return the controls that a requirement asks for and that are missing although it counts as met."""
        return [row["control"] for row in self._others if number in row.get("asks", ())]

    def missing(self) -> Iterator[Missing]:
        """Yield the controls that are not implemented, in the order of the file; other ones last."""
        for number, entry in self.entries.items():
            if entry.status == "not_met" and not entry.same_as:
                asks = (number, *(other for other, its in self.entries.items() if its.same_as == number))
                yield Missing(
                    control=entry.control,
                    why=entry.why,
                    instead=entry.instead,
                    group=entry.group or _group_of(number),
                    asks=tuple(sorted(asks, key=place)),
                )
        for row in self._others:
            yield Missing(**{**row, "asks": tuple(row.get("asks", ()))})


def register() -> Register:
    """Read our data file."""
    return Register((FOLDER / "register.toml").read_text(encoding="utf-8"))


def _group_of(number: str) -> str:
    chapter, section, _ = number.split(".")
    names = {name: group for group, members in GROUPS.items() for name in members}
    return names.get(f"{chapter}.{section}", names[chapter])
