"""``make docs``: the README's list of controls that are not implemented, from docs/asvs/register.toml."""

import re
import textwrap
from typing import Final

from tools.docs.asvs_register import GROUPS, Missing, Register, register, requirements

_BEGIN: Final = "<!-- written by `make docs` from docs/asvs/register.toml -->"
_END: Final = "<!-- as far as here -->"
_WIDTH: Final = 120


def with_list(text: str) -> str:
    """Return the README's text with the current list between its marks."""
    between = re.compile(f"(?<={re.escape(_BEGIN)}\n).*(?={re.escape(_END)})", re.DOTALL)
    ours = register()
    return between.sub(lambda _: f"\n{textwrap.fill(_in_numbers(ours), _WIDTH)}\n{missing_controls(ours)}\n", text)


def missing_controls(ours: Register) -> str:
    """Return the list in Markdown: a heading for each group and an item for each control."""
    missing = list(ours.missing())
    parts = []
    for group in GROUPS:
        items = [_item(control) for control in missing if control.group == group]
        parts += [f"\n#### {group}\n\n{''.join(items)}"] if items else []
    return "".join(parts)


def _in_numbers(ours: Register) -> str:
    met = dict.fromkeys((1, 2, 3), 0)
    asked = met.copy()
    for requirement in requirements():
        status = ours.entry(requirement).status
        asked[requirement.level] += status != "not_applicable"
        met[requirement.level] += status in {"met", "infrastructure"}
    levels = ", ".join(f"{met[level]} of the {asked[level]} of level {level}" for level in met)
    page = "[docs/asvs.md](docs/asvs.md) has each of them, with its proof"
    return (
        f"Of the requirements that apply, {levels} are met; {page}. Missing are, with the ids of those that ask for it:"
    )


def _item(missing: Missing) -> str:
    asks = f" ({', '.join(missing.asks)})" if missing.asks else ""
    text = f"- **{missing.control}.** {missing.why} {missing.instead}{asks}"
    wrapped = textwrap.fill(text, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return f"{wrapped}\n"
