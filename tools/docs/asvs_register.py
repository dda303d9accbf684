"""Read the register of ASVS 5.0: OWASP's requirements, and how this service meets each of them.

``docs/asvs/requirements.csv`` is OWASP's unchanged list. ``docs/asvs/register.toml`` is the project's own file. Its
entries have the id of a requirement ("6.2.1"). An entry that does not apply may have the id of a section ("6.8") or a
chapter ("17").
"""

import csv
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parents[2] / "docs" / "asvs"

STATUSES: Final = {
    "met": "Met",
    "infrastructure": "Met by infrastructure",
    "not_met": "Not met",
    "not_applicable": "Does not apply",
}

#: The groups of missing controls. An entry without a group belongs to the group of its section or chapter.
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
    """The register's entry for a requirement.

    An entry that is not met has ``control``, ``why``, ``instead`` and ``short``, or ``same_as`` with the id of an entry
    that has them.
    """

    status: str
    how: str = ""
    proof: tuple[str, ...] = ()
    control: str = ""
    why: str = ""
    instead: str = ""
    detail: str = ""
    short: tuple[str, ...] = ()
    group: str = ""
    same_as: str = ""


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A control that is not implemented, with the requirements that ask for it (``asks``)."""

    control: str
    why: str
    instead: str
    group: str
    #: The README's row: the control, why it is missing, and what stands in.
    short: tuple[str, ...]
    detail: str = ""
    asks: tuple[str, ...] = field(default=())


def place(number: str) -> tuple[int, ...]:
    """Return the sort key of an id, with which "6.2.10" is after "6.2.9"."""
    return tuple(int(part) for part in number.split("."))


def requirements() -> list[Requirement]:
    """Return OWASP's requirements in the order of the standard."""
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
    """The entries of docs/asvs/register.toml."""

    def __init__(self, text: str) -> None:
        """Parse the text of the file."""
        data = tomllib.loads(text)
        self._others = data.pop("other", [])
        self.entries = {number: Entry(**_with_tuples(row)) for number, row in data.items()}

    def covering(self, requirement: Requirement) -> list[str]:
        """Return the ids of the entries for a requirement. A valid register has exactly one."""
        names = (requirement.id, requirement.section, requirement.chapter)
        return [name for name in names if name in self.entries]

    def entry(self, requirement: Requirement) -> Entry:
        """Return the entry for a requirement."""
        return self.entries[self.covering(requirement)[0]]

    def gaps(self, number: str) -> list[str]:
        """Return the missing controls that a requirement asks for although its status is met."""
        return [row["control"] for row in self._others if number in row.get("asks", ())]

    def missing(self) -> Iterator[Missing]:
        """Yield the controls that are not implemented, in the order of the file. The list ``other`` is last."""
        for number, entry in self.entries.items():
            if entry.status == "not_met" and not entry.same_as:
                asks = (number, *(other for other, its in self.entries.items() if its.same_as == number))
                yield Missing(
                    control=entry.control,
                    why=entry.why,
                    instead=entry.instead,
                    group=entry.group or _group_of(number),
                    detail=entry.detail,
                    short=entry.short,
                    asks=tuple(sorted(asks, key=place)),
                )
        for row in self._others:
            yield Missing(**_with_tuples(row))


def register() -> Register:
    """Return the entries of docs/asvs/register.toml."""
    return Register((FOLDER / "register.toml").read_text(encoding="utf-8"))


def _with_tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}


def _group_of(number: str) -> str:
    chapter, section, _ = number.split(".")
    names = {name: group for group, members in GROUPS.items() for name in members}
    return names.get(f"{chapter}.{section}", names[chapter])
