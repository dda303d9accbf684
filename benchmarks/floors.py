"""Endpoints next to their floors. A floor is the minimal work for a task, such as a hash or one select.

The functions are the real ones, called in this process with the events of API Gateway. The floors use the same
libraries and the same kind of database.
"""

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import bcrypt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from mangum import Mangum

from auth_common.keys.verification_keys import JWKS_FILE
from benchmarks.measure import Figure, alternate, compare, run_in_turns, timed
from benchmarks.peers import LOGIN_WITHOUT_HASH
from benchmarks.service import fresh_service, handler_of
from tests.support.databases import start_fresh_environment
from tests.support.events import authorizer_event, json_event, lambda_context, proxy_event
from tests.support.factories import PASSWORD, Account, sign_up
from tests.support.functions import authorize

_COST: Final = 12
#: As many bytes as the signed part of an access token.
_SIGNED: Final = b"m" * 480


def measure_floors(*, rounds: int) -> list[Figure]:
    """Measure the endpoints that users wait for. A round is one login, or many calls of a faster endpoint."""
    with fresh_service(BCRYPT_COST=str(_COST)) as folder:
        account = sign_up()
        # Deployed functions have the public keys in an environment variable.
        os.environ["JWKS"] = (folder / JWKS_FILE).read_text()
        start_fresh_environment()
        figures = [
            _login(account, rounds=rounds),
            _authorizer(account, rounds=rounds),
            _get_user(account, folder, rounds=rounds),
            _refresh(account, folder, rounds=rounds),
        ]
    return [*figures, _login_without_hash(rounds=rounds)]


def _login(account: Account, *, rounds: int) -> Figure:
    event = json_event("POST", "/login", {"email": account.email, "password": PASSWORD})
    stored = bcrypt.hashpw(b"x" * 64, bcrypt.gensalt(_COST))
    return alternate(
        "`POST /login`",
        timed(_calling("login", lambda: event)),
        f"one `bcrypt.checkpw`, cost {_COST}",
        timed(lambda: bcrypt.checkpw(b"x" * 64, stored)),
        rounds=rounds,
        aim=1.05,
    )


def _authorizer(account: Account, *, rounds: int) -> Figure:
    handler, context = handler_of("authorizer"), lambda_context("authorizer")
    event = authorizer_event(f"Bearer {account.access_token}", path=f"/users/{account.id}")
    assert handler(event, context)["policyDocument"]["Statement"][0]["Effect"] == "Allow"
    private_key, algorithm = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
    key, signature = private_key.public_key(), private_key.sign(_SIGNED, algorithm)
    return alternate(
        "the authorizer, warm",
        timed(lambda: handler(event, context), calls=300),
        "one ES256 verification, key prepared",
        timed(lambda: key.verify(signature, _SIGNED, algorithm), calls=300),
        rounds=rounds,
        aim=3,
        unit="µs",
    )


def _get_user(account: Account, folder: Path, *, rounds: int) -> Figure:
    caller = authorize(account.access_token)["context"]
    path = f"/users/{account.id}"
    event = proxy_event("GET", path, path_parameters={"id": account.id}, authorizer=caller)
    floor, context = _select_by_key(folder / "floor.sqlite3", account), lambda_context("floor")
    assert floor(event, context)["statusCode"] == 200  # noqa: PLR2004 - a rejection would be faster
    return alternate(
        "`GET /users/{id}`, warm",
        timed(_calling("get_user", lambda: event), calls=200),
        "FastAPI + Mangum, one `sqlite3` select by key",
        timed(lambda: floor(event, context), calls=200),
        rounds=rounds,
        aim=1.3,
        unit="µs",
    )


def _select_by_key(file: Path, account: Account) -> Any:
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE users (id TEXT PRIMARY KEY, name TEXT, email TEXT, born TEXT, job TEXT, role TEXT)")
    values = (account.id, "Test Person", account.email, "1980-04-14", "Engineer", "user")
    database.execute("INSERT INTO users VALUES (?, ?, ?, ?, ?, ?)", values)
    database.commit()
    app = FastAPI()

    @app.get("/users/{user_id}")
    async def get_user(user_id: str) -> dict[str, str]:
        row = database.execute("SELECT id, name, email, born, job, role FROM users WHERE id = ?", (user_id,)).fetchone()
        return dict(zip(("id", "name", "email", "date_of_birth", "job_title", "role"), row, strict=True))

    adapter, loop = Mangum(app, lifespan="off"), asyncio.new_event_loop()

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        asyncio.set_event_loop(loop)  # Mangum needs a loop of the thread, which the service's handlers do not leave
        return adapter(event, context)

    return handler


def _refresh(account: Account, folder: Path, *, rounds: int) -> Figure:
    token = account.refresh_token
    handler, context = handler_of("refresh"), lambda_context("refresh")
    event = json_event("POST", "/token/refresh", {})

    def exchange() -> None:
        nonlocal token
        response = handler({**event, "body": json.dumps({"refresh_token": token})}, context)
        token = json.loads(response["body"])["refresh_token"]

    return alternate(
        "`POST /token/refresh`, a new token each time",
        timed(exchange, calls=50),
        "two writes by `sqlite3` in one commit, one ES256 signature",
        timed(_write_twice_and_sign(folder / "writes.sqlite3"), calls=50),
        rounds=rounds,
        aim=4,
        unit="µs",
    )


def _write_twice_and_sign(file: Path) -> Callable[[], None]:
    database = _new_database(file, "CREATE TABLE tokens (hash BLOB PRIMARY KEY, spent_at TEXT)")
    key, algorithm = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
    live = uuid4().bytes
    database.execute("INSERT INTO tokens VALUES (?, NULL)", (live,))

    def write_twice_and_sign() -> None:
        nonlocal live
        successor = uuid4().bytes
        key.sign(_SIGNED, algorithm)
        database.execute("BEGIN IMMEDIATE")
        database.execute("UPDATE tokens SET spent_at = 'now' WHERE hash = ? AND spent_at IS NULL", (live,))
        database.execute("INSERT INTO tokens VALUES (?, NULL)", (successor,))
        database.execute("COMMIT")
        live = successor

    return write_twice_and_sign


def _login_without_hash(*, rounds: int) -> Figure:
    """Measure a login whose hash has the lowest cost, and subtract the time of the hash."""
    with fresh_service(BCRYPT_COST="4") as folder:
        event = json_event("POST", "/login", {"email": sign_up().email, "password": PASSWORD})
        stored = bcrypt.hashpw(b"x" * 64, bcrypt.gensalt(4))
        subjects = {
            "login": timed(_calling("login", lambda: event), calls=20),
            "hash": timed(lambda: bcrypt.checkpw(b"x" * 64, stored), calls=20),
            "floor": timed(_count_and_open_session(folder / "logins.sqlite3"), calls=20),
        }
        times = run_in_turns(subjects, rounds=rounds)
    return compare(
        LOGIN_WITHOUT_HASH,
        [login - check for login, check in zip(times["login"], times["hash"], strict=True)],
        "a counted attempt and a session by `sqlite3` in two commits, one ES256 signature",
        times["floor"],
        unit="µs",
    )


def _count_and_open_session(file: Path) -> Callable[[], None]:
    database = _new_database(
        file,
        "CREATE TABLE attempts (account BLOB PRIMARY KEY, failures INTEGER)",
        "CREATE TABLE sessions (id BLOB PRIMARY KEY, started_at TEXT)",
        "CREATE TABLE tokens (hash BLOB PRIMARY KEY, session BLOB)",
    )
    key, algorithm = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
    account = uuid4().bytes
    database.execute("INSERT INTO attempts VALUES (?, 0)", (account,))

    def count_and_open_session() -> None:
        database.execute("UPDATE attempts SET failures = failures + 1 WHERE account = ?", (account,))
        session = uuid4().bytes
        key.sign(_SIGNED, algorithm)
        database.execute("BEGIN IMMEDIATE")
        database.execute("UPDATE attempts SET failures = failures - 1 WHERE account = ?", (account,))
        database.execute("INSERT INTO sessions VALUES (?, 'now')", (session,))
        database.execute("INSERT INTO tokens VALUES (?, ?)", (uuid4().bytes, session))
        database.execute("COMMIT")

    return count_and_open_session


def _new_database(file: Path, *tables: str) -> sqlite3.Connection:
    """Create a database that is as durable as the service's, and return a connection in autocommit mode."""
    database = sqlite3.connect(file, isolation_level=None)
    for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", *tables):
        database.execute(statement)
    return database


def _calling(function: str, event: Callable[[], dict[str, Any]]) -> Callable[[], object]:
    handler, context = handler_of(function), lambda_context(function)

    def call() -> None:
        response = handler(event(), context)
        assert response["statusCode"] == 200, response  # noqa: PLR2004 - a rejection would be faster

    return call
