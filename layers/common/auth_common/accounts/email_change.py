"""Change the address of an account. See docs/decisions/0027.

The user of the new mailbox confirms the change by a link or a code, together with the account's password or a session
of it (``accounts.email_verification``). So a user who opens the link of an attacker's mail confirms nothing. The old
address gets a notice and is reserved for 72 hours, in which its user can undo the change.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import Connection

from auth_common.errors import EmailNotVerified, EmailTaken, NotFound
from auth_common.events.security_events import SecurityEvent, security_event
from auth_common.mail.kinds import MailKind
from auth_common.mail.outbox import require_mail
from auth_common.mail_tokens.proofs import RejectedProof
from auth_common.mail_tokens.sending import queue_mail_with_token
from auth_common.mail_tokens.store import delete_mail_tokens_of, delete_security_links_to_others
from auth_common.mail_tokens.tokens_and_codes import REQUESTED_PURPOSES, hash_address
from auth_common.notices.account_notices import queue_notice
from auth_common.sessions.caller_checks import rejected_caller, require_self, require_step_up, require_valid_session
from auth_common.sessions.principal import Principal
from auth_common.sessions.store import delete_step_up_tokens_of
from auth_common.throttling.mail_requests import email_change_request
from auth_common.throttling.service import move_failures
from auth_common.transactions import read, transaction
from auth_common.users import store
from auth_common.users.email_change_store import (
    EMAIL_RESERVED_FOR,
    EmailChange,
    delete_email_changes_of,
    insert_email_change,
    is_reserved,
    is_unavailable,
    select_reversible_changes,
)
from auth_common.users.store import User, lock_user, select_credentials_by_id, select_user_by_email
from auth_common.users.uuids import parse_uuid

#: Rows that one statement changes. A transaction on Aurora DSQL changes at most 3,000.
_BATCH_ROWS: Final = 1_000


def request_email_change(principal: Principal, user_id: str, *, new_email: str, step_up_token: str | None) -> None:
    """Send a link and a code to the address to which the caller wants to change.

    An address that has an account, one that is reserved, and the caller's own cause the same work and rows. The caller
    learns nothing about it.

    Args:
        principal: the caller.
        user_id: the untrusted text in the path. It must be the caller's id, also for an admin.
        new_email: normalised (``normalise_email``).
        step_up_token: the header ``Step-Up-Token``, or None.

    Raises:
        MailNotConfigured: the service sends no mail.
        InvalidToken: the caller's session is not valid any more.
        Forbidden: the id is not the caller's.
        EmailNotVerified: the caller's own address is not verified.
        StepUpRequired: the step-up token is not valid, or the account has a passkey and the step-up used none.
        TooManyAttempts: the client IP has requested too many mails, or the account too many changes.

    """
    require_mail()
    read(lambda connection: _require_permitted(connection, principal, user_id, step_up_token))
    with email_change_request(principal.user_id, new_email=new_email) as may_send:
        if may_send:
            transaction(lambda connection: _queue(connection, principal, user_id, new_email, step_up_token))


def _require_permitted(connection: Connection, principal: Principal, user_id: str, step_up_token: str | None) -> User:
    """Return the caller. Raise an error if the caller may not change the address now."""
    found = select_credentials_by_id(connection, user_id=principal.user_id)
    if found is None:
        raise rejected_caller(principal)
    caller_state = require_valid_session(connection, principal)
    require_self(principal, parse_uuid(user_id))
    if not found.user.email_verified:
        security_event(SecurityEvent.AUTHZ_FAIL, user_id=principal.user_id, reason="email_not_verified")
        raise EmailNotVerified
    require_step_up(principal, caller_state, step_up_token, account_has_passkey=found.has_passkey)
    return found.user


def _queue(
    connection: Connection, principal: Principal, user_id: str, new_email: str, step_up_token: str | None
) -> None:
    # A concurrent change of the address waits for this lock, and then deletes the token that is created here.
    lock_user(connection, user_id=principal.user_id)
    user = _require_permitted(connection, principal, user_id, step_up_token)
    kind, account, reason = _choose_mail(connection, user, new_email)
    queue_mail_with_token(connection, kind, email=new_email, user=account)
    security_event(
        SecurityEvent.USER_EMAIL_CHANGE_REQUESTED,
        user_id=user.id,
        reason=reason,
        session_id=str(principal.session_id),
    )


def _choose_mail(connection: Connection, user: User, new_email: str) -> tuple[MailKind, User | None, str]:
    """Return which mail the new address gets, about which account, and the reason. Without an account none is sent."""
    holder = select_user_by_email(connection, email=new_email)
    reserved = is_reserved(connection, email=new_email, user_id=user.id, now=datetime.now(UTC))
    if holder is None:
        account, reason = (None, "address_reserved") if reserved else (user, "mail_queued")
        return MailKind.CONFIRM_NEW_EMAIL, account, reason
    if holder.id == user.id:
        return MailKind.CONFIRM_NEW_EMAIL, None, "own_address"
    kind = MailKind.ADDRESS_TAKEN if holder.email_verified else MailKind.REGISTER_AGAIN
    return kind, holder if holder.status != "disabled" else None, "email_taken"


def end_step_ups(user_id: UUID) -> None:
    """Delete the step-up tokens of an account. The change of its address deletes those that are granted meanwhile.

    In transactions of its own, because an account may have more sessions than one can change. If the change then fails,
    its user steps up again.
    """
    now = datetime.now(UTC)
    while transaction(
        lambda connection: delete_step_up_tokens_of(connection, user_id=user_id, now=now, limit=_BATCH_ROWS)
    ):
        pass


def confirm_email_change(connection: Connection, user: User, *, new_email: str) -> None:
    """Change the address of a user who has proved that the new one is theirs, in the transaction of the proof.

    Args:
        connection: the transaction, which has locked the user.
        user: the user as stored now.
        new_email: normalised.

    Raises:
        RejectedProof: another account has the address by now, or has it reserved.

    """
    now = datetime.now(UTC)
    try:
        _change(connection, user, new_email=new_email, verified_at=now, now=now, reason="by_mail")
    except EmailTaken as error:
        raise RejectedProof("address_taken", user_id=user.id) from error


def change_email_by_operator(email: str, new_email: str, *, was_hijacked: bool = False) -> User:
    """Change the address of a user whose identity the operator has checked, and revoke all sessions. Return the user.

    The operator cannot know that the mailbox is the user's. So the new address is not verified, and gets a mail with
    which the user verifies it.

    Args:
        email: the address of the account, normalised (``normalise_email``).
        new_email: normalised.
        was_hijacked: whether ``email`` is an attacker's. It then gets no notice, and no earlier link undoes the change.

    Raises:
        NotFound: no account has this address.
        EmailTaken: another account has the new address, or has it reserved.
        ValueError: the account has the new address already.

    """
    if email == new_email:
        message = "is the address of this user already"
        raise ValueError(message)

    def change(connection: Connection) -> User:
        found = select_user_by_email(connection, email=email)
        user = lock_user(connection, user_id=found.id) if found else None
        if user is None:
            raise NotFound
        if was_hijacked:
            delete_email_changes_of(connection, user_id=user.id)
            delete_mail_tokens_of(connection, user_id=user.id)
            # An address that is not verified gets no notice, and is not reserved.
            user = replace(user, email_verified_at=None)
        now = datetime.now(UTC)
        changed = _change(
            connection,
            user,
            new_email=new_email,
            verified_at=None,
            now=now,
            reason="by_operator",
            revokes_sessions=True,
        )
        queue_mail_with_token(connection, MailKind.VERIFY_EMAIL, email=new_email, user=changed)
        return changed

    return transaction(change)


def undo_email_changes(connection: Connection, *, user_id: UUID, since: datetime, now: datetime) -> str | None:
    """Restore the address that an account had before its changes at ``since`` or later. This cannot be undone.

    The earliest change whose old address is still reserved counts. It and all later ones are undone. The restored
    address is verified. The caller revokes the sessions.

    Args:
        connection: the transaction.
        user_id: the account.
        since: changes at this time or later are undone.
        now: the time.

    Returns:
        The restored address. None if there is no change to undo.

    """
    user = lock_user(connection, user_id=user_id)
    changes = select_reversible_changes(connection, user_id=user_id, since=since, now=now)
    # If the clocks of two environments differ, another account may have the address at the end of its reservation.
    changes = [
        each for each in changes if not is_unavailable(connection, email=each.old_email, user_id=user_id, now=now)
    ]
    if user is None or not changes:
        return None
    earliest = changes[0]
    store.change_email(connection, user_id=user_id, email=earliest.old_email, verified_at=now, now=now)
    delete_email_changes_of(connection, user_id=user_id, since=earliest.changed_at)
    _end_proofs(connection, user, new_email=earliest.old_email)
    security_event(SecurityEvent.USER_EMAIL_CHANGED, user_id=user_id, reason="undone")
    return earliest.old_email


def _change(
    connection: Connection,
    user: User,
    *,
    new_email: str,
    verified_at: datetime | None,
    now: datetime,
    reason: str,
    revokes_sessions: bool = False,
) -> User:
    """Change the address, reserve the old one, and send a notice to it. Return the changed user.

    A change to an address that the account has reserved undoes the changes since then instead.
    """
    changed = store.change_email(
        connection,
        user_id=user.id,
        email=new_email,
        verified_at=verified_at,
        now=now,
        revokes_sessions=revokes_sessions,
    )
    made = select_reversible_changes(connection, user_id=user.id, since=user.created_at, now=now)
    undone = next((each for each in made if each.old_email == new_email), None)
    if undone is not None:
        _forget_changes(connection, undone)
    # An address that was never verified may belong to another user, who must not get this account.
    elif user.email_verified:
        change = EmailChange(
            id=uuid4(), user_id=user.id, old_email=user.email, changed_at=now, reserved_until=now + EMAIL_RESERVED_FOR
        )
        insert_email_change(connection, change)
        queue_notice(connection, MailKind.EMAIL_CHANGED, user=user, event_at=now)
    _end_proofs(connection, user, new_email=new_email)
    if not revokes_sessions:
        delete_step_up_tokens_of(connection, user_id=user.id, now=now, limit=_BATCH_ROWS)
    security_event(SecurityEvent.USER_EMAIL_CHANGED, user_id=user.id, reason=reason)
    return changed


def _forget_changes(connection: Connection, undone: EmailChange) -> None:
    """Free the addresses since a change, and end their links "this was not me".

    The user of the first address may have changed back from an attacker's address. With a notice, the attacker could
    undo that. The user of a later address loses nothing, because the first address could undo the changes anyway.
    """
    delete_email_changes_of(connection, user_id=undone.user_id, since=undone.changed_at)
    delete_security_links_to_others(
        connection, user_id=undone.user_id, address_hash=hash_address(undone.old_email), since=undone.changed_at
    )


def _end_proofs(connection: Connection, user: User, *, new_email: str) -> None:
    """End the links and codes from before the change. Failed logins are counted for the new address."""
    delete_mail_tokens_of(connection, user_id=user.id, purposes=REQUESTED_PURPOSES)
    move_failures(connection, old_email=user.email, new_email=new_email)
