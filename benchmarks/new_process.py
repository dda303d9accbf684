"""Run one function in a new process, as Lambda does.

The command is ``python -I -S new_process.py FOLDER …`` with the folders of the function and of the layer. Standard
input has one event a line. Before the function, this script imports only modules that Lambda's runtime also imports. It
writes the line "responded" to standard error after the first response, and facts about the process as JSON at the end.
"""

import json
import os
import sys


class _Context:
    """The attributes of Lambda's context object that libraries read."""

    function_name = "first"
    memory_limit_in_mb = "1024"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:first"
    aws_request_id = "00000000-0000-4000-8000-000000000000"


def main() -> None:
    """Import ``app``, handle the first event, report it, handle the other events, and exit without clean-up."""
    sys.path[:1] = sys.argv[1:]
    event = json.loads(sys.stdin.readline())
    handler = __import__("app").handler
    response = handler(event, _Context())
    os.write(2, b"responded\n")
    modules = sorted({name.partition(".")[0] for name in sys.modules})
    peak = _peak()
    statuses = set()
    for line in sys.stdin:
        later = handler(json.loads(line), _Context())
        statuses.add(later.get("statusCode") if later else None)
    facts = {"response": response, "modules": modules, "statuses": list(statuses), "peaks": [peak, _peak()]}
    os.write(2, json.dumps(facts).encode())
    sys.stdout.flush()
    os._exit(0)


def _peak() -> int:
    """Return the peak of this process's resident memory in bytes."""
    try:
        with open("/proc/self/status") as status:  # noqa: PTH123 - pathlib would be one more import
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except FileNotFoundError:
        # macOS. On Linux this value would include the memory of the parent process at the fork.
        import resource  # noqa: PLC0415 - where it is used

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


main()
