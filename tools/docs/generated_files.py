"""``make docs``: write every file that is generated from code, from ``uv.lock`` or from the markers of the tests.

``python -m tools.docs.generated_files FILE...`` writes only these files. A test compares each file with its generator.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from tools.docs import (
    asvs_page,
    bills,
    endpoint_table,
    error_table,
    event_meanings,
    layer_requirements,
    missing_controls,
    openapi_document,
    proofs,
    protected_routes,
    security_events_page,
    settings_table,
    threat_model,
)
from tools.docs import snippets as docs_snippets

PROJECT: Final = Path(__file__).parents[2]

#: For each file, a function that returns its new text. The argument is its old text, which may be partly written by
#: hand.
GENERATORS: Final[Mapping[str, Callable[[str], str]]] = {
    "README.md": lambda text: endpoint_table.with_short_table(missing_controls.with_short_table(text)),
    "docs/api.md": endpoint_table.with_full_table,
    "docs/asvs.md": lambda _: asvs_page.page(proofs.collect().asvs),
    "docs/configuration.md": settings_table.with_settings,
    "docs/deploy.md": bills.with_bills,
    "docs/errors.md": error_table.with_codes,
    "docs/openapi.json": lambda _: openapi_document.text(),
    "docs/security-controls.md": missing_controls.with_full_list,
    "docs/security-events.md": lambda _: security_events_page.page(),
    "docs/threat-model.md": lambda text: threat_model.with_tests(text, proofs.collect().threat),
    "layers/common/auth_common/web/protected_routes.py": lambda _: protected_routes.module(),
    "layers/common/requirements.txt": lambda _: layer_requirements.requirements(),
    "public/scripts/security/event-meanings.js": lambda _: event_meanings.script(),
    **{
        page.relative_to(PROJECT).as_posix(): docs_snippets.with_snippets
        for page in sorted((PROJECT / "docs").rglob("*.md"))
        if docs_snippets.has_snippets(page.read_text(encoding="utf-8"))
    },
}


def write(folder: Path, generators: Mapping[str, Callable[[str], str]], files: Iterable[str]) -> None:
    """Write these files of a folder, or all of them if none is named."""
    for name in list(files) or generators:
        file = folder / name
        text = generators[name](file.read_text(encoding="utf-8"))
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(PROJECT, GENERATORS, sys.argv[1:])
