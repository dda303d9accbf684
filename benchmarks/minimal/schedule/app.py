"""A minimal clean-up with only SQLAlchemy and Powertools: one delete and one log line."""

import os
from typing import Any

import sqlalchemy
from aws_lambda_powertools import Logger

logger = Logger()


def handler(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Run a delete that matches no row."""
    engine = sqlalchemy.create_engine(f"sqlite:///{os.environ['DATA_DIR']}/secure-backend.sqlite3")
    users = sqlalchemy.table("users", sqlalchemy.column("id"))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.delete(users).where(users.c.id == "unknown"))
    logger.info("deleted")
    return {}
