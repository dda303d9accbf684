# /// script
# requires-python = ">=3.11"
# dependencies = ["checkov==3.3.30"]
# ///
"""Run checkov on CloudFormation templates.

Standard input is a template that SAM has translated. Arguments name further templates.

.checkov.yaml lists the skipped checks with reasons. checkov works offline and loads no rules from its platform. The
script has an environment of its own (PEP 723, locked in template_scan.py.lock), because checkov pins old versions of
libraries that the functions use.
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
        sys.exit(Checkov(["--config-file", str(CONFIGURATION), "--file", str(template), *sys.argv[1:]]).run(banner=""))
