"""``make docs``: docs/asvs.md, from OWASP's list, the project's register and the tests' markers."""

import re
from itertools import groupby
from typing import Final

from tools.docs import proofs
from tools.docs.asvs_register import STATUSES, Entry, Register, Requirement, register, requirements

#: The path of a link. In the register, paths are relative to the README.
_LINK: Final = re.compile(r"\]\((?!https://)(?P<path>[^)]+)")

_INTRODUCTION: Final = """\
# OWASP ASVS 5.0, requirement by requirement

`make docs` writes this page from [OWASP's list](asvs/requirements.csv), [the register](asvs/register.toml) and the
markers of the tests. A test that proves requirements names them: `@pytest.mark.asvs("6.2.1", "6.2.4")`. After you add,
rename or move such a test, run `make docs`. Tests fail if this page is not current, if a requirement is missing, or if
a marker names a requirement that is not met.

| Status | Meaning | Proof |
|---|---|---|
| **Met** | The code meets the requirement. | A test that fails without that code. For a requirement on documentation: \
the document |
| **Met by infrastructure** | A component in front of the code or around it meets the requirement. | A resource of \
[template.yaml](../template.yaml), or the page with the deployer's task |
| **Not met** | The control is missing. | None. The page says why it is missing and what the service does instead |
| **Does not apply** | The service has nothing to which the requirement applies. | None. The page says why |

[Security controls](security-controls.md#not-implemented) lists all missing controls.

Quoted text is from the [OWASP Application Security Verification Standard 5.0.0](https://github.com/OWASP/ASVS), © The
OWASP Foundation, under the [Creative Commons Attribution-ShareAlike
4.0](https://creativecommons.org/licenses/by-sa/4.0/) licence, and so is this page.

"""


def page(tests: dict[str, list[str]]) -> str:
    """Return the text of docs/asvs.md. ``tests`` are the tests that prove each requirement, by its id."""
    ours = register()
    parts = [_INTRODUCTION, "\n".join(summary(ours)), "\n"]
    for _, chapter in groupby(requirements(), key=lambda requirement: requirement.chapter):
        parts.append(_chapter(list(chapter), ours, tests))
    return "".join(parts)


def seen_from_docs(text: str) -> str:
    """Return a text of the register with the links that a page in docs/ needs."""
    return _LINK.sub(lambda match: f"]({_path_from_docs(match['path'])}", text)


def summary(ours: Register) -> list[str]:
    """Return the lines of a table with the number of requirements by level and status."""
    counts = {(level, status): 0 for level in (1, 2, 3) for status in STATUSES}
    for requirement in requirements():
        counts[requirement.level, ours.entry(requirement).status] += 1
    rows = [["Level", *STATUSES.values()], ["---"] * (1 + len(STATUSES))]
    rows += [[str(level), *(str(counts[level, status]) for status in STATUSES)] for level in (1, 2, 3)]
    return [f"| {' | '.join(row)} |" for row in rows]


def _chapter(chapter: list[Requirement], ours: Register, tests: dict[str, list[str]]) -> str:
    first = chapter[0]
    heading = f"\n## V{first.chapter} {first.chapter_name}\n"
    if first.chapter in ours.entries:
        return f"{heading}\nDoes not apply: {ours.entries[first.chapter].why}\n"
    sections = groupby(chapter, key=lambda requirement: requirement.section)
    return heading + "".join(_section(list(section), ours, tests) for _, section in sections)


def _section(section: list[Requirement], ours: Register, tests: dict[str, list[str]]) -> str:
    first = section[0]
    heading = f"\n### {first.section} {first.section_name}\n"
    if first.section in ours.entries:
        return f"{heading}\nDoes not apply: {ours.entries[first.section].why}\n"
    return heading + "".join(_requirement(requirement, ours, tests.get(requirement.id, [])) for requirement in section)


def _requirement(requirement: Requirement, ours: Register, tests: list[str]) -> str:
    entry = ours.entry(requirement)
    lines = [f"\n**{requirement.id}** · level {requirement.level} · **{STATUSES[entry.status].lower()}**\n"]
    lines += [f"> {requirement.text}\n", f"{seen_from_docs(_text_of(entry, ours))}\n"]
    if links := [*map(proofs.link, tests), *map(_link, entry.proof)]:
        lines.append(f"Proof: {', '.join(links)}\n")
    if gaps := ours.gaps(requirement.id):
        lines.append("".join(f"- [Missing](security-controls.md#not-implemented): **{gap}**\n" for gap in gaps))
    return "\n".join(lines)


def _text_of(entry: Entry, ours: Register) -> str:
    if entry.same_as:
        return f"Missing: **{ours.entries[entry.same_as].control}**. See {entry.same_as}."
    if entry.status == "not_met":
        instead = " ".join(filter(None, [entry.instead, entry.detail]))
        return f"Missing: **{entry.control}**\n\n- Why: {entry.why}\n- Instead: {instead}"
    return entry.how or entry.why


def _link(proof: str) -> str:
    """Return a link to a proof that is not a test: `template.yaml#Resource` or `page.md#heading`."""
    path, _, anchor = proof.partition("#")
    if path.endswith(".md"):
        return f"[{path}, {anchor.replace('-', ' ')}]({_path_from_docs(path)}#{anchor})"
    return f"[`{anchor}` in {path}](../{path})"


def _path_from_docs(path: str) -> str:
    return path.removeprefix("docs/") if path.startswith("docs/") else f"../{path}"
