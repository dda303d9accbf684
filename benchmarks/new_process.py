"""One function in this process, which was started as Lambda starts one, up to its first answer.

``python -I -S new_process.py FOLDER …`` with an event on standard input: the folders are those of the function and of
the layer. Before the function, nothing is imported but what Lambda's own runtime needs too. When it has answered, one
line goes to standard error, and then what there is to know about the process.
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
    """Import ``app``, answer one event, say so, and end without tidying up."""
    sys.path[:1] = sys.argv[1:]
    event = json.load(sys.stdin)
    handler = __import__("app").handler
    answer = handler(event, _Context())
    os.write(2, b"answered\n")
    modules = sorted({name.partition(".")[0] for name in sys.modules})
    os.write(2, json.dumps({"answer": answer, "modules": modules}).encode())
    sys.stdout.flush()
    os._exit(0)


main()
