# ruff: noqa: INP001 - a Lambda's folder holds app.py alone, and a test wants to see what is printed
"""Functions that show what the local runtime does to them."""

import json
import os
import sys
import time
from pathlib import Path

DATA_DIR = Path(os.environ["DATA_DIR"])
PATIENCE = 15.0
PNG = "iVBORw0KGgo="
#: As a logger has it: the output of the time when it was imported.
OUTPUT = sys.stdout


def answer(document):
    return {"statusCode": 200, "body": json.dumps(document)}


def echo(event, context):
    """Answer everything that a function can see."""
    print("echo was called", file=OUTPUT)
    return answer(
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
    """Never answer. The first worker leaves its process id; the next ones answer."""
    trace = DATA_DIR / "slow.pid"
    if trace.exists():
        return answer({"pid": os.getpid()})
    trace.write_text(str(os.getpid()))
    time.sleep(1000)
    return None


def meeting(event, _context):
    """Answer only when as many workers as asked for are in here at the same time."""
    query = event["queryStringParameters"]
    folder = DATA_DIR / query["meeting"]
    folder.mkdir(exist_ok=True)
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + PATIENCE
    while len(list(folder.iterdir())) < int(query["attendants"]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return answer({"pid": os.getpid(), "met": len(list(folder.iterdir()))})


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
    return answer({"pid": os.getpid()})


def large(event, _context):
    return {"statusCode": 200, "body": "a" * int(event["pathParameters"]["bytes"])}


def nightly(_event, _context):
    raise RuntimeError("nothing to do at night")


def weekly(event, _context):
    with (DATA_DIR / "weekly-events").open("a") as events:
        events.write(json.dumps(event) + "\n")


def authorizer(event, _context):
    """Do what the token says; leave a line for each call."""
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
