"""The register of ASVS has one entry for each requirement, and its proofs exist.

test_proofs.py checks the proofs that are tests.
"""

import re
import tomllib

import pytest

from tests.support.documentation import exists
from tools.docs import missing_controls
from tools.docs.asvs_register import FOLDER, GROUPS, STATUSES, Entry, Register, place, register, requirements

pytestmark = pytest.mark.docs

REGISTER = register()
ENTRIES = REGISTER.entries


def with_status(*statuses: str) -> dict[str, Entry]:
    return {number: entry for number, entry in ENTRIES.items() if entry.status in statuses}


def test_requirements_are_those_of_version_5_0_0():
    assert [sum(requirement.level == level for requirement in requirements()) for level in (1, 2, 3)] == [70, 183, 92]


def test_each_requirement_has_exactly_one_entry():
    covering = {requirement.id: REGISTER.covering(requirement) for requirement in requirements()}
    assert {number: names for number, names in covering.items() if len(names) != 1} == {}
    known = {name for wanted in requirements() for name in (wanted.id, wanted.section, wanted.chapter)}
    assert ENTRIES.keys() - known == set()
    assert list(ENTRIES) == sorted(ENTRIES, key=place)


def test_each_entry_has_a_known_status_and_its_fields():
    """An entry may also have a group, and one that is not met a detail."""
    wanted = {
        "met": ({"how"}, {"how", "proof"}),
        "infrastructure": ({"how"}, {"how", "proof"}),
        "not_met": (
            {"control", "why", "instead", "short"},
            {"control", "why", "instead", "detail", "short"},
            {"same_as"},
        ),
        "not_applicable": ({"why"},),
    }
    assert wanted.keys() == STATUSES.keys()
    parts = {number: {name for name, value in vars(entry).items() if value} for number, entry in ENTRIES.items()}
    wrong = {
        number: said
        for number, said in parts.items()
        if said - {"status", "group"} not in wanted.get(ENTRIES[number].status, ())
    }
    assert wrong == {}
    assert [number for number, entry in ENTRIES.items() if entry.group and entry.group not in GROUPS] == []


def test_entries_without_a_text_or_a_requirement_are_complete():
    assert [number for number in with_status("met", "infrastructure", "not_met") if len(place(number)) != 3] == []
    refer = {number: ENTRIES[entry.same_as] for number, entry in ENTRIES.items() if entry.same_as}
    assert [number for number, entry in refer.items() if entry.status != "not_met" or not entry.control] == []
    others = tomllib.loads((FOLDER / "register.toml").read_text())["other"]
    assert [row for row in others if not {"control", "why", "instead", "short", "group"} <= row.keys()] == []
    assert [row for row in others if row["group"] not in GROUPS] == []
    known = {requirement.id for requirement in requirements()}
    assert {number for row in others for number in row.get("asks", ())} <= known


def test_each_proof_exists():
    """A proof is a part of a file: a heading or a resource."""
    named = [(number, proof) for number, entry in ENTRIES.items() for proof in entry.proof]
    assert [(number, proof) for number, proof in named if "#" not in proof or not exists(proof)] == []
    for missing in ("template.yaml#Nothing", "docs/architecture.md#nothing", "docs/nothing.md#data"):
        assert not exists(missing)


def test_short_texts_have_a_control_a_reason_and_a_stand_in():
    assert [missing.control for missing in REGISTER.missing() if len(missing.short) != 3] == []


@pytest.mark.parametrize("text", [missing_controls.full_list(REGISTER), missing_controls.short_table(REGISTER)])
def test_readme_and_controls_page_name_each_requirement_that_is_not_met(text):
    lists = re.findall(r"(?:\(|\| )([\d., ]+)(?:\)| \|)$", text, re.MULTILINE)
    assert with_status("not_met").keys() <= {number for numbers in lists for number in numbers.split(", ")}


def test_control_of_several_requirements_is_listed_once():
    text = """
        ["6.2.9"]
        status = "not_met"
        control = "Mail"
        why = "There is none."
        instead = "Nothing."
        detail = "It comes later."
        short = ["No mail", "none", "nothing"]
        ["6.2.10"]
        status = "not_met"
        same_as = "6.2.9"
        [[other]]
        control = "Recovery codes"
        why = "They are passwords."
        instead = "A second passkey."
        short = ["No codes", "passwords", "passkey"]
        group = "Second factors"
    """
    assert missing_controls.full_list(Register(text)) == (
        "\n### Passwords and accounts\n"
        "\n- **Mail.** Reason: There is none. Instead: Nothing. It comes later. (6.2.9, 6.2.10)\n"
        "\n### Second factors\n"
        "\n- **Recovery codes.** Reason: They are passwords. Instead: A second passkey.\n"
    )
    assert missing_controls.short_table(Register(text)).splitlines()[2:] == [
        "| No mail | none | nothing | 6.2.9, 6.2.10 |",
        "| No codes | passwords | passkey | |",
    ]
