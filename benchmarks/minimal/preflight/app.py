"""A minimal response to a preflight, with only Powertools: one log line."""

from typing import Any

from aws_lambda_powertools import Logger

logger = Logger()


def handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Return an empty response."""
    logger.info("responded")
    return {"statusCode": 204, "headers": {}, "body": ""}
