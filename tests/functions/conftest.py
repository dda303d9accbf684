"""Fixtures for the functions' tests."""

from collections.abc import Callable

import bcrypt
import pytest

from auth_common.accounts import administration as accounts
from tests.support.databases import Database, start_fresh_environment
from tests.support.factories import EMAIL, Account, sign_up
from tests.support.passkeys import PasskeyHolder, enrol


@pytest.fixture
def person(database: Database) -> Account:
    """A user who has logged in with a password."""
    return sign_up()


@pytest.fixture
def account(database: Database) -> Account:
    """A user with a verified address who has logged in with a password."""
    account = sign_up()
    accounts.mark_email_verified(EMAIL)
    return account


@pytest.fixture
def other(database: Database) -> Account:
    """Another user who has logged in with a password."""
    return sign_up("other@example.com")


@pytest.fixture
def holder(database: Database) -> PasskeyHolder:
    """A user who has a passkey."""
    return enrol()


@pytest.fixture
def isolation(request: pytest.FixtureRequest, database: Database, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """Set the isolation level of PostgreSQL's transactions to one of those in ``tests.support.races``."""
    level: str | None = request.param
    if level:
        option = f"-c%20default_transaction_isolation%3D{level.replace(' ', '%5C%20')}"
        monkeypatch.setenv("DATABASE_URL", f"{database.url}&options={option}")
        start_fresh_environment()
    return level


@pytest.fixture
def hash_costs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The cost of each bcrypt computation from now on, in their order. bcrypt itself still does the work."""
    costs: list[int] = []

    def counting(compute: Callable[[bytes, bytes], object]) -> Callable[[bytes, bytes], object]:
        def compute_and_count(password: bytes, salt_or_hash: bytes) -> object:
            costs.append(int(salt_or_hash.split(b"$")[2]))
            return compute(password, salt_or_hash)

        return compute_and_count

    monkeypatch.setattr(bcrypt, "hashpw", counting(bcrypt.hashpw))
    monkeypatch.setattr(bcrypt, "checkpw", counting(bcrypt.checkpw))
    return costs
