"""One table for each request: this service, the floor and the peers. ``make bench`` prints it at the end."""

from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.measure import Figure, Spread
from benchmarks.peers import FIRST_ME, LOGIN_WITHOUT_HASH, ME, ME_BY_HTTP, PEERS
from benchmarks.report import Section, Table, digits

#: The names of the figures that a row shows. A figure is in the column of the peer that it compares with, or of the
#: floor.
_ROWS: Final = (
    LOGIN_WITHOUT_HASH,
    "`POST /token/refresh`, a new token each time",
    ME,
    "`GET /users/{id}`, warm",
    "the authorizer, warm",
    FIRST_ME,
    ME_BY_HTTP,
)


def summarise(sections: Mapping[str, Section]) -> Table:
    """Return the medians of the sections ``floors`` and ``peers``, with the ratio of ours to each.

    A row is absent if its sections were not measured. A cell is empty if the peer has no such figure.
    """
    figures = [figure for section in sections.values() if not isinstance(section, Table) for figure in section]
    rows = [_row(name, [figure for figure in figures if figure.name == name]) for name in _ROWS]
    return Table(("Request", "Ours", "Floor", *PEERS), tuple(row for row in rows if row))


def _row(name: str, figures: Sequence[Figure]) -> tuple[str, ...]:
    if not figures:
        return ()
    against = {figure.against if figure.against in PEERS else "floor": figure for figure in figures}
    ours = _median(figures[0].subject, figures[0].unit)
    return (name, ours, *(_cell(against.get(column)) for column in ("floor", *PEERS)))


def _cell(figure: Figure | None) -> str:
    return f"{_median(figure.floor, figure.unit)} (**{figure.ratio.median:.2f}**)" if figure else ""


def _median(spread: Spread, unit: str) -> str:
    return f"{digits(spread.median)} {unit}"
