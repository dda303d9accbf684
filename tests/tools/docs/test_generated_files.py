"""``make docs``: no generated file is older than what it is generated from."""

import pytest

from tools.docs.generated_files import GENERATORS, PROJECT, write

pytestmark = pytest.mark.docs

#: These two need the markers of the whole suite, which one process collects for all checks.
OF_MARKERS = [pytest.mark.thorough, pytest.mark.xdist_group("proofs")]
MARKS = {
    "docs/asvs.md": OF_MARKERS,
    "docs/openapi.json": [pytest.mark.asvs("2.1.1")],
    "docs/threat-model.md": OF_MARKERS,
    "layers/common/requirements.txt": [pytest.mark.asvs("15.2.4")],
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, []), id=name) for name in GENERATORS])
def test_a_generated_file_is_current(name):
    present = (PROJECT / name).read_text()
    assert GENERATORS[name](present) == present, "run `make docs`"


@pytest.mark.parametrize(("named", "written"), [([], {"a", "b"}), (["b"], {"b"})])
def test_files_are_written_all_or_by_name(tmp_path, named, written):
    for name in ("a", "b"):
        (tmp_path / name).write_text("by hand")
    write(tmp_path, dict.fromkeys(("a", "b"), lambda text: f"{text}, generated"), named)
    assert {file.name for file in tmp_path.iterdir() if file.read_text() == "by hand, generated"} == written
