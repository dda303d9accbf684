"""Format results as Markdown for readers and as JSON for programs."""

import json
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.measure import Figure, Spread


@dataclass(frozen=True, slots=True)
class Table:
    """A section that is not a comparison of pairs."""

    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Section = Sequence[Figure] | Table

_HEADING = ("Measured", "Ours", "Against", "Theirs", "Ratio", "Aim")


def machine() -> dict[str, str]:
    """Return facts about this machine and this run that the figures depend on."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def as_json(sections: Mapping[str, Section]) -> str:
    """Return all sections as one JSON document."""
    return json.dumps(
        {"machine": machine(), "sections": {title: _document(section) for title, section in sections.items()}},
        indent=2,
    )


def _document(section: Section) -> list[dict[str, Any]]:
    if isinstance(section, Table):
        return [dict(zip(section.heading, row, strict=True)) for row in section.rows]
    return [{**asdict(figure), "is_met": figure.is_met} for figure in section]


def as_markdown(section: Section) -> str:
    """Return a section as a table in Markdown."""
    if not isinstance(section, Table):
        section = Table(_HEADING, tuple(_row(figure) for figure in section))
    return "\n".join(_lines(section))


def _lines(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(table.heading)} |"
    yield f"|{'---|' * len(table.heading)}"
    for row in table.rows:
        yield f"| {' | '.join(row)} |"


def _row(figure: Figure) -> tuple[str, ...]:
    aim = "" if figure.aim is None else f"{figure.aim:g}{'' if figure.is_met else ', missed'}"
    return (
        figure.name,
        f"{_shown(figure.subject)} {figure.unit}",
        figure.against,
        f"{_shown(figure.floor)} {figure.unit}",
        f"**{figure.ratio.median:.2f}** ({figure.ratio.low:.2f}..{figure.ratio.high:.2f})",
        aim,
    )


def _shown(spread: Spread) -> str:
    return f"{digits(spread.median)} ({digits(spread.low)}..{digits(spread.high)})"


def digits(value: float) -> str:
    """Return a number with three significant digits, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits
