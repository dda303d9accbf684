"""``make asvs``: the README's list of controls that are not implemented, written from our register."""

import re
import textwrap
from pathlib import Path
from typing import Final

from tools.asvs_register import GROUPS, Missing, Register, register

README: Final = Path(__file__).parents[1] / "README.md"

_BEGIN: Final = "<!-- written by `make asvs` from docs/asvs/register.toml -->"
_END: Final = "<!-- as far as here -->"
_WIDTH: Final = 120


def with_list(text: str) -> str:
    """Return the README's text with the list of today between its marks."""
    between = re.compile(f"(?<={re.escape(_BEGIN)}\n).*(?={re.escape(_END)})", re.DOTALL)
    return between.sub(lambda _: missing_controls(register()), text)


def missing_controls(ours: Register) -> str:
    """Return the list: a heading a group, a paragraph a control."""
    missing = list(ours.missing())
    parts = []
    for group in GROUPS:
        items = [_item(control) for control in missing if control.group == group]
        parts += [f"\n#### {group}\n\n{''.join(items)}"] if items else []
    return "".join(parts) + "\n"


def _item(missing: Missing) -> str:
    asks = f" ({', '.join(missing.asks)})" if missing.asks else ""
    text = f"- **{missing.control}.** {missing.why} {missing.instead}{asks}"
    return textwrap.fill(text, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False) + "\n"


if __name__ == "__main__":
    README.write_text(with_list(README.read_text(encoding="utf-8")), encoding="utf-8")
