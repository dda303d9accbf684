# ruff: noqa: INP001 - a Lambda's folder holds app.py alone
"""A function that test_reloading.py rewrites."""


def handler(_event, _context):
    return {"statusCode": 200, "body": "hello"}
