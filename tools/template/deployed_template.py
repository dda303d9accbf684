"""What a deployment makes of template.yaml, for those who look at it.

``python -m tools.template.deployed_template Stage=prod`` prints it; the arguments are parameters.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from local_runtime.cloudformation import read_template
from tools.uv_path import uv_path

_PROJECT: Final = Path(__file__).parents[2]
#: What uv runs: a translator that reads a template from each line of its standard input.
TRANSLATOR: Final = ("run", "--script", "--locked", "tools/template/translated_template.py")


def with_defaults(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return template.yaml, in which these parameters' defaults are these values.

    Raises:
        KeyError: the template has no such parameter.

    """
    document: dict[str, Any] = json.loads(_template())
    for name, value in parameters.items():
        document["Parameters"][name]["Default"] = value
    return document


@cache
def _template() -> str:
    """Return template.yaml as JSON, which is read ten times as fast."""
    return json.dumps(read_template(_PROJECT / "template.yaml"))


def translate(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return CloudFormation's template of this one.

    Raises:
        subprocess.CalledProcessError: SAM does not take the template.

    """
    command = [uv_path(), *TRANSLATOR]
    done = subprocess.run(  # noqa: S603 - no word of it is from elsewhere
        command, cwd=_PROJECT, input=json.dumps(document), stdout=subprocess.PIPE, check=True, text=True
    )
    template: dict[str, Any] = json.loads(done.stdout)
    return template


def main(arguments: list[str] | None = None) -> None:
    """Print it as JSON; the arguments are parameters, such as ``Stage=prod``."""
    given = sys.argv[1:] if arguments is None else arguments
    parameters = {name: value for name, _, value in (argument.partition("=") for argument in given)}
    sys.stdout.write(json.dumps(translate(with_defaults(parameters)), indent=2))


if __name__ == "__main__":
    main()
