"""Prove an address with the token of a link, or with a code. A proof is used once.

A proof is bound to its purpose, its account, the account's address and its token version. So a change of the password
or the address, or a revocation of all sessions, invalidates every link that was sent before. Only the link "this was
not me" is bound to purpose and account alone, and may be used again (``accounts.securing``).
"""

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from auth_common.errors import InvalidOrExpiredCode
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.mail_tokens.store import (
    MailToken,
    count_code_try,
    delete_mail_token,
    select_mail_token,
)
from auth_common.mail_tokens.tokens_and_codes import (
    MailTokenPurpose,
    hash_address,
    hash_mail_token,
    is_code,
)
from auth_common.transactions import read, transaction
from auth_common.users.store import Credentials, User, lock_user, select_credentials_by_id

#: Wrong codes that end a code. With 40 bits, an attacker guesses one code in 200 billion.
MAX_TRIES_PER_CODE: Final = 5
_FOR_VERIFIED_ACCOUNTS: Final = frozenset({MailTokenPurpose.RESET_PASSWORD, MailTokenPurpose.CHANGE_EMAIL})
#: The id of no user. The query for it keeps the number of round trips the same for an unknown address.
_NO_USER: Final = UUID(int=0)


class RejectedProof(Exception):
    """The token or code proves nothing. The reason is for the security event, and the client does not learn it."""

    def __init__(self, reason: str, *, user_id: UUID | None = None) -> None:
        """Store the reason, and the account if the token belongs to one."""
        super().__init__(reason)
        self.reason = reason
        self.user_id = user_id


@dataclass(frozen=True, slots=True)
class Proof:
    """A valid token or code, and the account to which it was sent."""

    mail_token: MailToken
    credentials: Credentials

    @property
    def user(self) -> User:
        """The account's user, as read with the token."""
        return self.credentials.user


@contextmanager
def rejected_as(event: SecurityEvent) -> Iterator[None]:
    """Record a rejected proof as ``event``, with its reason. The client learns only that the proof is not valid.

    Raises:
        InvalidOrExpiredCode: the block raised ``RejectedProof``.

    """
    try:
        yield
    except RejectedProof as rejected:
        security_event(event, user_id=rejected.user_id, reason=rejected.reason)
        raise InvalidOrExpiredCode from rejected


def prove_by_token(token: str, *purposes: MailTokenPurpose) -> Proof:
    """Return the proof of a link's token for one of ``purposes``. Nothing is used up.

    Raises:
        RejectedProof: the token is unknown, used, expired, for another purpose, or its account has changed.

    """
    token_hashes = [hash_mail_token(token, purpose) for purpose in purposes]

    def select(connection: Connection) -> tuple[MailToken | None, Credentials | None]:
        found = select_mail_token(connection, token_hashes=token_hashes)
        return found, select_credentials_by_id(connection, user_id=(found and found.user_id) or _NO_USER)

    mail_token, credentials = read(select)
    if mail_token is None:
        raise RejectedProof("mail_token_unknown")
    if mail_token.expires_at <= datetime.now(UTC):
        raise RejectedProof("mail_token_expired", user_id=mail_token.user_id)
    return _proof(mail_token, credentials)


def prove_by_code(code: str, *purposes: MailTokenPurpose, email: str) -> Proof:
    """Return the proof of a code. The try is counted and committed before the code is compared.

    Args:
        code: as the user typed it.
        purposes: what the code was sent for is one of them.
        email: the normalised address to which the code was sent.

    Raises:
        RejectedProof: the code is wrong, used, expired or has no tries left, or its account has changed.

    """
    candidates = transaction(
        lambda connection: count_code_try(
            connection,
            address_hash=hash_address(email),
            purposes=purposes,
            now=datetime.now(UTC),
            max_tries=MAX_TRIES_PER_CODE,
        )
    )
    matching = [
        each
        for each in candidates
        if each.code_hash and is_code(code, mail_token_id=each.id, stored_hash=each.code_hash)
    ]
    user_id = next((each.user_id for each in matching), None)
    credentials = read(lambda connection: select_credentials_by_id(connection, user_id=user_id or _NO_USER))
    if not matching:
        raise RejectedProof("wrong_code", user_id=next((each.user_id for each in candidates), None))
    return _proof(matching[0], credentials)


def use_proof(connection: Connection, proof: Proof) -> User:
    """Use up a proof in the transaction of its success, and lock its user. Return the user as stored now.

    Of concurrent requests with the same token, one deletes the row and the others are rejected.

    Raises:
        RejectedProof: the proof was used, or its account has changed since it was read.

    """
    user_id = proof.user.id
    user = lock_user(connection, user_id=user_id)
    reason = _mismatch(proof.mail_token, user)
    if user is None or reason or not delete_mail_token(connection, mail_token_id=proof.mail_token.id):
        raise RejectedProof(reason or "mail_token_used", user_id=user_id)
    return user


def _proof(mail_token: MailToken, credentials: Credentials | None) -> Proof:
    reason = _mismatch(mail_token, credentials.user if credentials else None)
    if credentials is None or reason:
        raise RejectedProof(reason or "unknown_user", user_id=mail_token.user_id)
    return Proof(mail_token, credentials)


def _mismatch(mail_token: MailToken, user: User | None) -> str | None:
    """Return why a token is not valid for the account as it is now. Return None if it is valid."""
    if user is None:
        return "unknown_user"
    if mail_token.purpose == MailTokenPurpose.SECURE_ACCOUNT:
        # An attacker who has taken the account over could otherwise end the link with any change.
        return None
    # The token of a new address is sent to that address. It ends with the old one, because each change of an address
    # deletes the account's tokens.
    address = mail_token.new_email or user.email
    needs_verified = mail_token.purpose in _FOR_VERIFIED_ACCOUNTS
    reasons = {
        "address_changed": not hmac.compare_digest(mail_token.address_hash, hash_address(address)),
        "user_not_active": user.status == "disabled",
        "already_verified": user.email_verified and not needs_verified,
        "not_verified": needs_verified and not user.email_verified,
        # An attacker who has registered the address can raise the version at will. The claim must survive that.
        "token_version_changed": mail_token.token_version != user.token_version
        and mail_token.purpose != MailTokenPurpose.CLAIM_ADDRESS,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)
