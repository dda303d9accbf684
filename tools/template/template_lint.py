# /// script
# requires-python = ">=3.11"
# dependencies = ["cfn-lint==1.58.0"]
# ///
"""cfn-lint with the project's own rules (tools/template/rules), on a template that SAM has translated.

Standard input brings that one; arguments name others, such as template.yaml itself. `sam validate --lint` takes no
rules of one's own. A script with an environment of its own (PEP 723, locked in template_lint.py.lock).
"""

import sys
import tempfile
from pathlib import Path

from cfnlint.runner import main

RULES = Path(__file__).with_name("rules")

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        translated = Path(folder, "translated-template.json")
        translated.write_text(sys.stdin.read(), encoding="utf-8")
        # W1028, an !If of which one side is never taken: Globals are for all functions, and some are deployed only.
        options = ["--append-rules", str(RULES), "--ignore-checks", "W1028", "--non-zero-exit-code", "warning"]
        sys.argv[1:] = [*options, "--template", str(translated), *sys.argv[1:]]
        main()
