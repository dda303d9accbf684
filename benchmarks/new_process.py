"""One function in this process, which was started as Lambda starts one, up to its first answer.

``python -I -S new_process.py FOLDER …`` with events on standard input, one a line: the folders are those of the
function and of the layer. Before the function, nothing is imported but what Lambda's own runtime needs too. When it has
answered the first one, a line goes to standard error; and behind the last, what there is to know about the process.
"""

import json
import os
import sys


class _Context:
    """What libraries read of Lambda's context object."""

    function_name = "first"
    memory_limit_in_mb = "1024"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:first"
    aws_request_id = "00000000-0000-4000-8000-000000000000"


def main() -> None:
    """Import ``app``, answer one event, say so, answer the rest, and end without tidying up."""
    sys.path[:1] = sys.argv[1:]
    event = json.loads(sys.stdin.readline())
    handler = __import__("app").handler
    answer = handler(event, _Context())
    os.write(2, b"answered\n")
    modules = sorted({name.partition(".")[0] for name in sys.modules})
    peak = _peak()
    statuses = set()
    for line in sys.stdin:
        later = handler(json.loads(line), _Context())
        statuses.add(later.get("statusCode") if later else None)
    known = {"answer": answer, "modules": modules, "statuses": list(statuses), "peaks": [peak, _peak()]}
    os.write(2, json.dumps(known).encode())
    sys.stdout.flush()
    os._exit(0)


def _peak() -> int:
    """Return the most memory that this process has had resident, in bytes."""
    try:
        with open("/proc/self/status") as status:  # noqa: PTH123 - pathlib would be one more import
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except FileNotFoundError:
        # macOS. On Linux this one has what the process that started us had then, too.
        import resource  # noqa: PLC0415 - where it is used

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


main()
