"""What a deployment makes of template.yaml, for those who look at it.

``python -m tools.deployed_template Stage=prod`` prints it; the arguments are parameters.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from local_runtime.cloudformation import read_template
from tools.uv_path import uv_path

_PROJECT: Final = Path(__file__).parents[1]
_TRANSLATE: Final = ("run", "--script", "--locked", "tools/translated_template.py")


def translate(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return CloudFormation's template, in which these parameters' defaults are these values.

    Raises:
        KeyError: the template has no such parameter.
        subprocess.CalledProcessError: SAM does not take the template.

    """
    document = read_template(_PROJECT / "template.yaml")
    for name, value in parameters.items():
        document["Parameters"][name]["Default"] = value
    command = [uv_path(), *_TRANSLATE]
    done = subprocess.run(  # noqa: S603 - no word of it is from elsewhere
        command, cwd=_PROJECT, input=json.dumps(document), stdout=subprocess.PIPE, check=True, text=True
    )
    template: dict[str, Any] = json.loads(done.stdout)
    return template


def main(arguments: list[str] | None = None) -> None:
    """Print it as JSON; the arguments are parameters, such as ``Stage=prod``."""
    given = sys.argv[1:] if arguments is None else arguments
    parameters = {name: value for name, _, value in (argument.partition("=") for argument in given)}
    sys.stdout.write(json.dumps(translate(parameters), indent=2))


if __name__ == "__main__":
    main()
