"""A minimal endpoint with FastAPI and Mangum: one select and one log line. LIBRARIES names further imports."""

import asyncio
import importlib
import os
from typing import Any

from aws_lambda_powertools import Logger
from fastapi import FastAPI
from mangum import Mangum
from pydantic import BaseModel

logger = Logger()
app = FastAPI(openapi_url=None)
for library in os.environ["LIBRARIES"].split():
    importlib.import_module(library)


class User(BaseModel):
    """The response body."""

    id: str
    name: str


@app.api_route("/{path:path}", methods=["DELETE", "GET", "PATCH", "POST", "PUT"])
async def read_user() -> User:
    """Return one row, if the function uses a database."""
    if "sqlalchemy" in os.environ["LIBRARIES"].split():
        import sqlalchemy  # noqa: PLC0415 - already loaded

        engine = sqlalchemy.create_engine(f"sqlite:///{os.environ['DATA_DIR']}/secure-backend.sqlite3")
        users = sqlalchemy.table("users", sqlalchemy.column("id"), sqlalchemy.column("name"))
        with engine.connect() as connection:
            key, name = connection.execute(sqlalchemy.select(users).limit(1)).one()
    else:
        key, name = "1", "Test Person"
    logger.info("responded")
    return User(id=str(key), name=str(name))


asyncio.set_event_loop(asyncio.new_event_loop())
_adapter = Mangum(app, lifespan="off")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the response with status 200."""
    response = _adapter(event, context)
    assert response["statusCode"] == 200, response  # noqa: PLR2004 - a rejection would be faster
    return response
