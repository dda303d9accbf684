"""``make docs``: the controls that are not implemented, in README and docs/security-controls.md, from our register."""

import textwrap
from typing import Final

from tools.docs.asvs_page import seen_from_docs
from tools.docs.asvs_register import GROUPS, Missing, Register, register, requirements
from tools.docs.marked_parts import table, with_part

_WIDTH: Final = 120
_FIGURES: Final = "ASVS figures"
_MISSING: Final = "missing controls"


def with_short_table(page: str) -> str:
    """Return README's text with the figures, and one line for each missing control."""
    ours = register()
    return with_part(with_part(page, _FIGURES, figures(ours)), _MISSING, short_table(ours))


def with_full_list(page: str) -> str:
    """Return the text of a page in docs/ with the figures, and a paragraph for each missing control."""
    ours = register()
    return with_part(with_part(page, _FIGURES, figures(ours)), _MISSING, seen_from_docs(full_list(ours)))


def figures(ours: Register) -> str:
    """Return how many requirements of each level are met, as a sentence."""
    met = dict.fromkeys((1, 2, 3), 0)
    applicable = met.copy()
    for requirement in requirements():
        status = ours.entry(requirement).status
        applicable[requirement.level] += status != "not_applicable"
        met[requirement.level] += status in {"met", "infrastructure"}
    levels = ", ".join(f"{met[level]} of {applicable[level]} at level {level}" for level in met)
    return f"OWASP ASVS 5.0, applicable requirements that are met: {levels}."


def short_table(ours: Register) -> str:
    """Return a table with one row for each missing control."""
    rows = ((*missing.short, ", ".join(missing.asks)) for missing in _by_group(ours))
    return table(("Control", "Reason", "What stands in", "ASVS"), rows)


def full_list(ours: Register) -> str:
    """Return a heading for each group, and a paragraph for each missing control."""
    missing = list(_by_group(ours))
    parts = []
    for group in GROUPS:
        items = [_item(control) for control in missing if control.group == group]
        parts += [f"\n### {group}\n\n{''.join(items)}"] if items else []
    return "".join(parts)


def _by_group(ours: Register) -> list[Missing]:
    return sorted(ours.missing(), key=lambda missing: list(GROUPS).index(missing.group))


def _item(missing: Missing) -> str:
    asks = f" ({', '.join(missing.asks)})" if missing.asks else ""
    detail = f" {missing.detail}" if missing.detail else ""
    text = f"- **{missing.control}.** Reason: {missing.why} Instead: {missing.instead}{detail}{asks}"
    wrapped = textwrap.fill(text, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return f"{wrapped}\n"
