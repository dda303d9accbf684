"""Parts of hand-written pages that ``make docs`` writes, each between two comments that name it."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

#: A cell ends at "|". In a cell, "|" is escaped.
_END_OF_CELL: Final = re.compile(r"(?<!\\)\|")


def with_part(page: str, name: str, content: str) -> str:
    """Return the page with this content in the part of this name.

    Raises:
        LookupError: The page has no such part.
    """
    start, end = _place(page, name)
    return f"{page[:start]}{content.strip()}\n{page[end:]}"


def with_columns(
    page: str, name: str, heading: Sequence[str], rows: Iterable[Sequence[str]], *, key_cells: int = 1
) -> str:
    """Return the page with the first columns of a table replaced. The other columns are kept: they are hand-written.

    Args:
        page: The text of the page.
        name: The name of the part that is the table.
        heading: The names of all columns.
        rows: The first cells of each row. The other cells of a new row are empty.
        key_cells: How many first cells identify a row.

    Raises:
        LookupError: The page has no such part.
    """
    start, end = _place(page, name)
    present = [_cells(line) for line in page[start:end].splitlines() if line.startswith("|")]
    kept = {tuple(cells[:key_cells]): cells for cells in present}

    def complete(row: Sequence[str]) -> list[str]:
        by_hand = kept.get(tuple(row[:key_cells]), [""] * len(heading))[len(row) :]
        return [*row, *by_hand]

    return with_part(page, name, table(heading, map(complete, rows)))


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = ["|".join(f" {cell} " if cell else " " for cell in cells) for cells in (heading, *rows)]
    lines.insert(1, "|".join(["---"] * len(heading)))
    return "\n".join(f"|{line}|" for line in lines)


def _place(page: str, name: str) -> tuple[int, int]:
    """Return where the content of a part starts and ends."""
    begin, end = f"<!-- {name}, written by `make docs` -->\n", f"<!-- end of {name} -->"
    start = page.find(begin) + len(begin)
    if begin not in page or (stop := page.find(end, start)) < 0:
        message = f"the page has no part “{name}”"
        raise LookupError(message)
    return start, stop


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in _END_OF_CELL.split(line)[1:-1]]
