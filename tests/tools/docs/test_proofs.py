"""The ids in the tests' markers exist in the documents, and each id that needs a test has one."""

import subprocess

import pytest

from tools.docs import proofs, threat_model
from tools.docs.asvs_register import register, requirements

# One process collects all tests once for all of these checks.
pytestmark = [pytest.mark.docs, pytest.mark.thorough, pytest.mark.xdist_group("proofs")]

ENTRIES = register().entries


def test_each_requirement_with_a_test_is_met_and_each_met_one_has_a_proof(collected):
    """A requirement on documentation or infrastructure may have a document as its proof."""
    met, infrastructure = (
        {number for number, entry in ENTRIES.items() if entry.status == status} for status in ("met", "infrastructure")
    )
    assert collected.asvs.keys() - met - infrastructure == set()
    unproved = [number for number in infrastructure - collected.asvs.keys() if not ENTRIES[number].proof]
    assert unproved == []
    sections = {wanted.id: wanted.section_name for wanted in requirements()}
    untested = met - collected.asvs.keys()
    assert [number for number in untested if "Documentation" not in sections[number] or not ENTRIES[number].proof] == []


def test_each_threat_in_a_marker_is_in_the_threat_model(collected):
    assert collected.threat.keys() - dict(threat_model.threats(threat_model.PAGE.read_text())).keys() == set()


MODULE = """
import pytest

pytestmark = pytest.mark.threat("module-wide")

@pytest.mark.asvs("1.2.3", "1.2.10")
@pytest.mark.parametrize("number", [1, 2])
def test_parametrized(number):
    pass

@pytest.mark.asvs("1.2.3")
class TestClass:
    @pytest.mark.threat("page-xss")
    def test_method(self):
        pass

@pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.asvs("4.5.6"))])
def test_one_parameter(number):
    pass
"""


def test_markers_of_tests_parameters_classes_and_modules_are_found(tmp_path, monkeypatch):
    (tmp_path / "test_a.py").write_text(MODULE)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k nothing")
    method, parameter, parametrized = (
        f"test_a.py::{name}" for name in ("TestClass::test_method", "test_one_parameter", "test_parametrized")
    )
    assert proofs.collect(tmp_path) == proofs.Proofs(
        asvs={"1.2.3": [method, parametrized], "1.2.10": [parametrized], "4.5.6": [parameter]},
        threat={"module-wide": [method, parameter, parametrized], "page-xss": [method]},
    )


def test_tests_that_pytest_cannot_collect_are_an_error(tmp_path, capfd):
    (tmp_path / "test_a.py").write_text("import nothing_of_this_name")
    with pytest.raises(subprocess.CalledProcessError):
        proofs.collect(tmp_path)
    assert "nothing_of_this_name" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("before", "tests", "after"),
    [
        ("", ["tests/test_a.py::test_b"], "[`test_b`](../tests/test_a.py) "),
        ("[`test_gone`](../tests/test_a.py) ", [], " "),
        (
            "[`test_gone`](../tests/a/test_a.py), [`TestB::test_gone`](../tests/test_a.py), `template.yaml#Api` ",
            ["tests/test_a.py::test_b", "tests/test_a.py::TestC::test_d"],
            "[`test_b`](../tests/test_a.py), [`TestC::test_d`](../tests/test_a.py), `template.yaml#Api` ",
        ),
        ("none: [nothing](a.md) can show it ", [], "none: [nothing](a.md) can show it "),
    ],
)
def test_links_to_tests_are_replaced_and_other_text_is_unchanged(before, tests, after):
    row = "| page-xss | I | a threat | a control, [`test_b`](../tests/test_a.py) | {}| `what` remains |\n"
    table = f"| Id | Kind | Threat | Control | Proof | What remains |\n|---|---|---|---|---|---|\n{row}"
    assert threat_model.with_tests(table.format(before), {"page-xss": tests}) == table.format(after)
