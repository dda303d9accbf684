# /// script
# requires-python = ">=3.11"
# dependencies = ["aiosqlite", "fastapi-users[sqlalchemy]==15.0.5", "uvicorn[standard]"]
# ///
"""fastapi-users as in its "full example": SQLAlchemy with aiosqlite, and JWTs as bearer tokens.

Only the hash differs: it is bcrypt at the common cost.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import urlencode

import uvicorn
from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users.password import PasswordHelper
from peer_process import BCRYPT_COST, EMAIL, OK, PASSWORD, run_command
from pwdlib import PasswordHash
from pwdlib.hashers.bcrypt import BcryptHasher
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

SECRET = "a secret of thirty-two bytes and more"
HASHER = PasswordHelper(PasswordHash((BcryptHasher(rounds=BCRYPT_COST),)))


class Base(DeclarativeBase):
    """The base class of the tables."""


class User(SQLAlchemyBaseUserTableUUID, Base):
    """The table of users."""


engine = create_async_engine("sqlite+aiosqlite:///./test.db")
new_session = async_sessionmaker(engine, expire_on_commit=False)


async def create_db_and_tables() -> None:
    """Create the tables."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)


async def get_async_session() -> AsyncGenerator[AsyncSession, None]:
    """Yield the database session of a request."""
    async with new_session() as session:
        yield session


async def get_user_db(
    session: Annotated[AsyncSession, Depends(get_async_session)],
) -> AsyncGenerator[SQLAlchemyUserDatabase, None]:
    """Yield the store of users for a request."""
    yield SQLAlchemyUserDatabase(session, User)


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    """The manager of users, with secrets for its tokens."""

    reset_password_token_secret = SECRET
    verification_token_secret = SECRET


async def get_user_manager(
    user_db: Annotated[SQLAlchemyUserDatabase, Depends(get_user_db)],
) -> AsyncGenerator[UserManager, None]:
    """Yield the manager of users for a request."""
    yield UserManager(user_db, HASHER)


def get_jwt_strategy() -> JWTStrategy:
    """Return the settings of tokens."""
    return JWTStrategy(secret=SECRET, lifetime_seconds=3600)


auth_backend = AuthenticationBackend(
    name="jwt", transport=BearerTransport(tokenUrl="auth/jwt/login"), get_strategy=get_jwt_strategy
)
fastapi_users = FastAPIUsers[User, uuid.UUID](get_user_manager, [auth_backend])


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Create the tables at the start."""
    await create_db_and_tables()
    yield


app = FastAPI(lifespan=lifespan)
app.include_router(fastapi_users.get_auth_router(auth_backend), prefix="/auth/jwt", tags=["auth"])
app.include_router(
    fastapi_users.get_register_router(schemas.BaseUser[uuid.UUID], schemas.BaseUserCreate),
    prefix="/auth",
    tags=["auth"],
)
app.include_router(fastapi_users.get_reset_password_router(), prefix="/auth", tags=["auth"])
app.include_router(fastapi_users.get_verify_router(schemas.BaseUser[uuid.UUID]), prefix="/auth", tags=["auth"])
app.include_router(
    fastapi_users.get_users_router(schemas.BaseUser[uuid.UUID], schemas.BaseUserUpdate), prefix="/users", tags=["users"]
)


class Service:
    """The application, called in this process."""

    def __init__(self) -> None:
        """Create an event loop for all calls, and hash the password for ``check_hash``."""
        self._loop = asyncio.new_event_loop()
        self._stored = HASHER.hash(PASSWORD)

    def set_up(self) -> str:
        """Create the tables and a user, and log in."""
        self._loop.run_until_complete(create_db_and_tables())
        status, _ = self._call("POST", "/auth/register", json.dumps({"email": EMAIL, "password": PASSWORD}).encode())
        assert status == 201, status
        return self.log_in()

    def route(self, token: str) -> tuple[str, dict[str, str]]:
        """Return the path and the headers of the request for the caller's own data."""
        return "/users/me", {"Authorization": f"Bearer {token}"}

    def me(self, token: str) -> None:
        """Request the caller's own data."""
        status, user = self._call("GET", "/users/me", authorization=f"Bearer {token}")
        assert (status, user["email"]) == (OK, EMAIL)

    def log_in(self) -> str:
        """Log in with a form, as in OAuth 2."""
        form = urlencode({"username": EMAIL, "password": PASSWORD}).encode()
        status, pair = self._call("POST", "/auth/jwt/login", form, content_type="application/x-www-form-urlencoded")
        assert status == OK, status
        token: str = pair["access_token"]
        return token

    def check_hash(self) -> None:
        """Check the password against its hash."""
        assert HASHER.verify_and_update(PASSWORD, self._stored)[0]

    def serve(self, port: int) -> None:
        """Serve with uvicorn."""
        uvicorn.run(app, port=port, log_level="warning")

    def _call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        content_type: str = "application/json",
        authorization: str = "",
    ) -> tuple[int, Any]:
        headers = {"content-type": content_type, "authorization": authorization, "content-length": str(len(body))}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items() if value],
            "client": ("127.0.0.1", 40000),
            "server": ("localhost", 8000),
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        self._loop.run_until_complete(app(scope, receive, send))
        return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent[1:]))


if __name__ == "__main__":
    run_command(Service())
