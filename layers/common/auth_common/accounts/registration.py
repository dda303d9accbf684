"""Register an account for a new user."""

from datetime import UTC, date, datetime
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection

from auth_common.errors import EmailTaken, FieldError, ValidationFailed
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.passwords.hashing import hash_password
from auth_common.passwords.policy import password_faults
from auth_common.settings import settings
from auth_common.throttling.service import client_ip_hash, registration_attempt, reset_failures_of_new_account
from auth_common.transactions import read, transaction
from auth_common.users.store import User, insert_user, select_credentials_by_email

#: Every new account has this role and status. The schema rejects a request with these fields.
_NEW_ROLE: Final = "user"
_NEW_STATUS: Final = "active"


def register_user(*, name: str, email: str, date_of_birth: date, job_title: str, password: str) -> User | None:
    """Create an account and return its user.

    Return None if the setting ``neutral_registration`` is on, which hides whether the address was free.

    Args:
        name: the user's name, 1 to 100 characters.
        email: normalised (``normalise_email``).
        date_of_birth: a date in the past.
        job_title: 1 to 100 characters.
        password: as the user typed it.

    Raises:
        ValidationFailed: the password is too weak (NIST SP 800-63B-4).
        EmailTaken: the address has an account, and ``neutral_registration`` is off. The password is hashed first, so
            that the response time does not reveal the account.
        TooManyAttempts: too many registrations from one client IP.

    """
    user = User(
        id=uuid4(),
        email=email,
        name=name,
        date_of_birth=date_of_birth,
        job_title=job_title,
        role=_NEW_ROLE,
        status=_NEW_STATUS,
        token_version=0,
        created_at=datetime.now(UTC),
    )

    try:
        # Scoring a password costs as much as hashing it. During a lockout, neither is done.
        with registration_attempt():
            _require_good_password(password, user)
            _store(user, password_hash=hash_password(password))
    except EmailTaken:
        if not settings().neutral_registration:
            raise
    return None if settings().neutral_registration else user


def _require_good_password(password: str, user: User) -> None:
    faults = password_faults(password, personal=(user.name, user.email, user.job_title))
    if errors := [FieldError("password", fault) for fault in faults]:
        raise ValidationFailed(*errors)


def _store(user: User, *, password_hash: str) -> None:
    def create(connection: Connection) -> None:
        insert_user(connection, user, password_hash=password_hash, registered_from=client_ip_hash())
        reset_failures_of_new_account(connection, email=user.email)
        security_event(SecurityEvent.USER_CREATED, user_id=user.id)

    try:
        transaction(create)
    except EmailTaken:
        owner = read(lambda connection: select_credentials_by_email(connection, email=user.email))
        security_event(SecurityEvent.USER_CREATION_FAIL, reason="email_taken", user_id=owner.user.id if owner else None)
        raise
