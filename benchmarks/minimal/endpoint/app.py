"""An endpoint without anything of ours: FastAPI, Mangum, one select, one log line; LIBRARIES names the rest."""

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
    """What is answered."""

    id: str
    name: str


@app.api_route("/{path:path}", methods=["GET", "POST", "PUT"])
async def answer() -> User:
    """Select one row, where the function has a database."""
    if "sqlalchemy" in os.environ["LIBRARIES"].split():
        import sqlalchemy  # noqa: PLC0415 - it is loaded already

        engine = sqlalchemy.create_engine(f"sqlite:///{os.environ['DATA_DIR']}/secure-backend.sqlite3")
        users = sqlalchemy.table("users", sqlalchemy.column("id"), sqlalchemy.column("name"))
        with engine.connect() as connection:
            key, name = connection.execute(sqlalchemy.select(users).limit(1)).one()
    else:
        key, name = "1", "Test Person"
    logger.info("answered")
    return User(id=str(key), name=str(name))


asyncio.set_event_loop(asyncio.new_event_loop())
_adapter = Mangum(app, lifespan="off")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer 200."""
    response = _adapter(event, context)
    assert response["statusCode"] == 200, response  # noqa: PLR2004 - a refusal would be faster
    return response
