"""The users table: plain functions over a connection, rows as frozen dataclasses."""

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.exc import IntegrityError

from auth_common.db.tables import users
from auth_common.errors import EmailTaken


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user as others may see them: no password hash."""

    id: UUID
    email: str
    name: str
    date_of_birth: date
    job_title: str
    #: ``user``, ``security`` or ``admin``.
    role: str
    #: ``active`` or ``disabled``.
    status: str
    token_version: int
    created_at: datetime


#: The columns of ``User``, in its order.
USER_COLUMNS: Final = tuple(users.c[name] for name in User.__dataclass_fields__)

_SELECT_FOR_LOGIN: Final = select(*USER_COLUMNS, users.c.password_hash).where(users.c.email == bindparam("email"))


def insert_user(connection: Connection, user: User, *, password_hash: str) -> None:
    """Store a new user.

    The unique constraint decides, not a look beforehand: of two registrations at once exactly one gets the address.

    Raises:
        EmailTaken: the address has an account.

    """
    try:
        connection.execute(users.insert().values(**asdict(user), password_hash=password_hash))
    except IntegrityError as error:
        # The id is 122 random bits: the only constraint that input can violate is the one on the address.
        raise EmailTaken from error


def select_user_for_login(connection: Connection, *, email: str) -> tuple[User, str] | None:
    """Return the user with this normalised address and their password hash, or ``None``."""
    row = connection.execute(_SELECT_FOR_LOGIN, {"email": email}).one_or_none()
    return (User(**dict(zip(User.__dataclass_fields__, row[:-1], strict=True))), row.password_hash) if row else None


def update_password_hash(connection: Connection, *, user_id: UUID, expected: str, new: str) -> None:
    """Replace the hash ``expected`` by ``new``; nothing happens where it has changed in the meantime."""
    connection.execute(
        update(users).where(users.c.id == user_id, users.c.password_hash == expected).values(password_hash=new)
    )


def update_account(connection: Connection, *, email: str, **values: str) -> User | None:
    """Set ``role`` or ``status``, raise the token version in any case, and return the user; ``None``: no such user."""
    changed = (
        update(users)
        .where(users.c.email == email)
        .values(token_version=users.c.token_version + 1, **values)
        .returning(*USER_COLUMNS)
    )
    row = connection.execute(changed).mappings().one_or_none()
    return User(**row) if row else None
