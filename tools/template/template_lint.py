# /// script
# requires-python = ">=3.11"
# dependencies = ["cfn-lint==1.58.0"]
# ///
"""Run cfn-lint with the project's own rules (tools/template/rules) on CloudFormation templates.

Standard input is a template that SAM has translated. Arguments name further templates, such as template.yaml. `sam
validate --lint` does not support own rules. The script has an environment of its own (PEP 723, locked in
template_lint.py.lock).
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
        # W1028 reports an !If with an unreachable branch. Globals has such branches, because it applies to all
        # functions. W1100 reports YAML merge keys, which CloudFormation does not read. `sam build` resolves them.
        options = ["--append-rules", str(RULES), "--ignore-checks", "W1028,W1100", "--non-zero-exit-code", "warning"]
        sys.argv[1:] = [*options, "--template", str(translated), *sys.argv[1:]]
        main()
