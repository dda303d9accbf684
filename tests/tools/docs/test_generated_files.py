"""``make docs``: each generated file is current."""

import pytest

from tools.docs import proofs
from tools.docs.generated_files import GENERATORS, PROJECT, write

pytestmark = pytest.mark.docs

#: Both files need the markers of all tests, which one process collects for all checks.
OF_MARKERS = [pytest.mark.thorough, pytest.mark.xdist_group("proofs")]
MARKS = {
    "docs/asvs.md": OF_MARKERS,
    "docs/openapi.json": [pytest.mark.asvs("2.1.1")],
    "docs/threat-model.md": OF_MARKERS,
    "layers/common/requirements.txt": [pytest.mark.asvs("15.2.4")],
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, []), id=name) for name in GENERATORS])
def test_generated_file_is_current(request, monkeypatch, name):
    if MARKS.get(name) is OF_MARKERS:
        collected = request.getfixturevalue("collected")
        monkeypatch.setattr(proofs, "collect", lambda: collected)
    present = (PROJECT / name).read_text()
    assert GENERATORS[name](present) == present, "run `make docs`"


@pytest.mark.parametrize(("named", "written"), [([], {"a", "b"}), (["b"], {"b"})])
def test_all_files_or_only_the_named_ones_are_written(tmp_path, named, written):
    for name in ("a", "b"):
        (tmp_path / name).write_text("by hand")
    write(tmp_path, dict.fromkeys(("a", "b"), lambda text: f"{text}, generated"), named)
    assert {file.name for file in tmp_path.iterdir() if file.read_text() == "by hand, generated"} == written
