# ruff: noqa: INP001 - a Lambda's folder holds app.py alone
"""What the tests of reloading rewrite."""


def handler(_event, _context):
    return {"statusCode": 200, "body": "hello"}
