# /// script
# requires-python = ">=3.11"
# dependencies = ["checkov==3.3.30"]
# ///
"""checkov on a template that SAM has translated, which standard input brings; .checkov.yaml has what it skips, and why.

Offline: it asks no platform for rules. A script with an environment of its own (PEP 723, locked in
template_scan.py.lock), because it pins old versions of libraries that the functions use.
"""

import sys
import tempfile
from pathlib import Path

from checkov.main import Checkov

CONFIGURATION = Path(__file__).parents[2] / ".checkov.yaml"

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder, "template.json")
        template.write_text(sys.stdin.read(), encoding="utf-8")
        sys.exit(Checkov(["--config-file", str(CONFIGURATION), "--file", str(template)]).run(banner=""))
