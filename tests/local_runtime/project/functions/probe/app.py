# ruff: noqa: INP001 - the folder of a function contains only app.py
"""Functions that return their event and their environment, or fail in a certain way."""

import json
import os
import sys
import time
from pathlib import Path

DATA_DIR = Path(os.environ["DATA_DIR"])
TIMEOUT = 50.0
PNG = "iVBORw0KGgo="
#: Loggers also store the output stream at their import.
OUTPUT = sys.stdout


def json_response(document):
    return {"statusCode": 200, "body": json.dumps(document)}


def echo(event, context):
    """Return the event, the context and the environment."""
    print("echo was called", file=OUTPUT)
    return json_response(
        {
            "event": event,
            "context": {
                "function_name": context.function_name,
                "memory_limit_in_mb": context.memory_limit_in_mb,
                "aws_request_id": context.aws_request_id,
                "invoked_function_arn": context.invoked_function_arn,
                "log_group_name": context.log_group_name,
                "log_stream_name": context.log_stream_name,
                "remaining": context.get_remaining_time_in_millis(),
            },
            "environment": dict(os.environ),
            "import_path": sys.path,
            "timezone": time.tzname[0],
            "stdin": sys.stdin.read(),
            "pid": os.getpid(),
            "parent": os.getppid(),
        }
    )


def image(_event, _context):
    return {"statusCode": 200, "headers": {"Content-Type": "image/png"}, "body": PNG, "isBase64Encoded": True}


def cookies(_event, _context):
    return {"statusCode": 200, "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]}}


def slow(_event, _context):
    """Do not return in the first worker, which writes its process id to a file. Return in the next workers."""
    trace = DATA_DIR / "slow.pid"
    if trace.exists():
        return json_response({"pid": os.getpid()})
    trace.write_text(str(os.getpid()))
    time.sleep(1000)
    return None


def meeting(event, _context):
    """Return when as many workers as ``attendants`` run this function at the same time."""
    query = event["queryStringParameters"]
    folder = DATA_DIR / query["meeting"]
    folder.mkdir(exist_ok=True)
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + TIMEOUT
    while len(list(folder.iterdir())) < int(query["attendants"]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return json_response({"pid": os.getpid(), "met": len(list(folder.iterdir()))})


def crashing(event, _context):
    match event["pathParameters"]["how"]:
        case "exit":
            sys.exit(3)
        case "killed":
            os._exit(3)
        case "raise":
            raise ValueError("the password is on the next line")
        case "malformed":
            return {"status": 200}
        case "unserialisable":
            return {"statusCode": 200, "body": {1, 2}}
    return json_response({"pid": os.getpid()})


def large(event, _context):
    return {"statusCode": 200, "body": "a" * int(event["pathParameters"]["bytes"])}


def nightly(_event, _context):
    raise RuntimeError("nothing to do at night")


def weekly(event, _context):
    with (DATA_DIR / "weekly-events").open("a") as events:
        events.write(json.dumps(event) + "\n")


def afterwards(_event, _context):
    with (DATA_DIR / "afterwards").open("a") as runs:
        runs.write("\n")


def authorizer(event, _context):
    """Return the result that the token names, and write a line for each call."""
    with (DATA_DIR / "authorizer-calls").open("a") as calls:
        calls.write(event["headers"]["authorization"] + "\n")
    allow, _, rest = event["headers"]["authorization"].partition(" ")
    match allow:
        case "Unauthorized":
            raise RuntimeError("Unauthorized")
        case "raise":
            raise RuntimeError("boom")
        case "nonsense":
            return {"isAuthorized": True}
    statement = {"Effect": allow, "Action": "execute-api:Invoke", "Resource": [rest or "*"]}
    return {
        "principalId": "ann",
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": {"tier": 3},
    }
