"""A function's environment variables: Lambda's own, the template's, and the shell's values of the same variables.

A function gets no other variable of the shell, above all no AWS credentials. If a function needs a variable that the
template does not set, it fails here as on AWS.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final
from uuid import uuid4

from local_runtime.cloudformation import REGION
from local_runtime.template import Function

#: Variables of the shell that each function gets, because Python needs them.
_ALWAYS_INHERITED: Final = ("PATH", "HOME", "LANG", "TMPDIR")
#: Variables that Python and its libraries read at their start. ``COVERAGE_`` measures the tests' coverage.
_READ_AT_START: Final = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
_PREFIXES_READ_AT_START: Final = ("LC_", "PYTHON", "LD_", "DYLD_", "COVERAGE_")


def parent_environment(shell: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the process that workers are forked from. It contains no secret of the shell.

    Linux shows this environment for each worker (``/proc/PID/environ``), even after the worker has replaced it.
    """
    return {
        name: value
        for name, value in shell.items()
        if name in _READ_AT_START or name.startswith(_PREFIXES_READ_AT_START)
    }


def function_environment(
    function: Function, *, shell: Mapping[str, str], data_dir: Path, shell_variables: Collection[str] = ()
) -> dict[str, str]:
    """Return the environment of one worker.

    Args:
        function: the function, with its variables in the template. The shell overrides their values, as in SAM.
        shell: the developer's environment.
        data_dir: the absolute path that ``DATA_DIR`` gets. It replaces the volume that the template names.
        shell_variables: variables that the function gets from the shell although the template does not name them.

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
        **{
            name: shell[name] for name in (*_ALWAYS_INHERITED, *shell_variables, *function.environment) if name in shell
        },
        "DATA_DIR": str(data_dir),
    }
