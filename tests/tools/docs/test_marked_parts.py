"""The parts of hand-written pages that ``make docs`` writes."""

import pytest

from tools.docs.marked_parts import table, with_columns, with_part

pytestmark = pytest.mark.docs

PAGE = """Before.

<!-- codes, written by `make docs` -->
| Status | Code | Meaning |
|---|---|---|
| 400 | `a` | by hand \\| with a bar |
| 404 | `b` | removed |
<!-- end of codes -->

After.
"""


def test_part_is_replaced_and_the_rest_of_the_page_stays():
    page = with_part(PAGE, "codes", "New.\n")
    assert page == ("Before.\n\n<!-- codes, written by `make docs` -->\nNew.\n<!-- end of codes -->\n\nAfter.\n")
    assert with_part(page, "codes", "New.") == page


@pytest.mark.parametrize("page", ["No part.", "<!-- codes, written by `make docs` -->\nNo end."])
def test_page_without_the_part_is_an_error(page):
    with pytest.raises(LookupError, match="codes"):
        with_part(page, "codes", "New.")


def test_hand_written_column_is_kept_for_the_rows_that_stay():
    heading = ("Status", "Code", "Meaning")
    page = with_columns(PAGE, "codes", heading, [("400", "`a`"), ("400", "`c`")], key_cells=2)
    rows = table(heading, [("400", "`a`", "by hand \\| with a bar"), ("400", "`c`", "")])
    assert page == with_part(PAGE, "codes", rows)
