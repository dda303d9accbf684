"""A function's environment variables: what Lambda sets, what the template says, what the shell overrides.

Nothing else of the shell gets in, least of all AWS credentials: a function that needs a variable which nobody gives it
on AWS must miss it here too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from uuid import uuid4

from local_runtime.cloudformation import REGION
from local_runtime.template import Function

#: Taken from the shell although no template names them: what Python needs, and a setting that makes tests fast.
_PASSED_ON: Final = ("PATH", "HOME", "LANG", "TMPDIR", "BCRYPT_COST")
#: What Python and its libraries read while they start. ``COVERAGE_`` is for the tests' measurements.
_READ_AT_START: Final = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
_PREFIXES_READ_AT_START: Final = ("LC_", "PYTHON", "LD_", "DYLD_", "COVERAGE_")


def parent_environment(shell: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the process that workers are forked from.

    The system shows it for each worker (``/proc/PID/environ``), also after the worker has its function's environment.
    So the shell's secrets are not in it.
    """
    return {
        name: value
        for name, value in shell.items()
        if name in _READ_AT_START or name.startswith(_PREFIXES_READ_AT_START)
    }


def function_environment(function: Function, *, shell: Mapping[str, str], data_dir: Path) -> dict[str, str]:
    """Return the environment of one worker.

    Args:
        function: its own variables can be overridden by the shell's of the same name, as in SAM.
        shell: the developer's environment.
        data_dir: absolute; stands in for the volume that ``DATA_DIR`` names in the template.

    """
    return {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"local/[$LATEST]{uuid4().hex}",
        "AWS_REGION": REGION,
        "LAMBDA_TASK_ROOT": str(function.folder),
        "TZ": "UTC",
        "_HANDLER": function.handler,
        **function.environment,
        **{name: shell[name] for name in (*_PASSED_ON, *function.environment) if name in shell},
        "DATA_DIR": str(data_dir),
    }
