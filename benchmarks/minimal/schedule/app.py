"""A clean-up without anything of ours: one delete, one log line."""

import os
from typing import Any

import sqlalchemy
from aws_lambda_powertools import Logger

logger = Logger()


def handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Delete nothing."""
    engine = sqlalchemy.create_engine(f"sqlite:///{os.environ['DATA_DIR']}/secure-backend.sqlite3")
    throttles = sqlalchemy.table("users", sqlalchemy.column("id"))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.delete(throttles).where(throttles.c.id == "nobody"))
    logger.info("deleted")
    return {}
