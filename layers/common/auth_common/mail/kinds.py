"""The kinds of mail that the service sends, and the rules of each."""

from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum, StrEnum
from typing import Final


class MailShare(IntEnum):
    """Which part of the mails of an hour a kind may use (``mail.hourly_limit``). Lower values are sent first."""

    #: What only the user of a verified account can cause: notices of credentials and of the address.
    ESSENTIAL = 0
    #: Password resets, which an attacker can cause too, but only at addresses of verified accounts.
    REQUESTED = 1
    #: Notices of logins and lockouts. An attacker causes them at many verified accounts, by a stolen list of passwords.
    TRIGGERED = 2
    #: What any client can cause at any address.
    OPEN = 3


class MailKind(StrEnum):
    """One member per mail. The value is stored in the database, and names the mail's texts."""

    #: To the address of a new account: a link and a code.
    VERIFY_EMAIL = "verify_email"
    #: To the user of an account, whose address a client tried to register or to change to.
    ADDRESS_TAKEN = "address_taken"
    #: To an address of an unverified account: a link with which the mailbox's user registers again and replaces it.
    REGISTER_AGAIN = "register_again"
    #: A link with which the user sets a new password.
    RESET_PASSWORD = "reset_password"
    #: To the new address of an account: a link and a code.
    CONFIRM_NEW_EMAIL = "confirm_new_email"
    PASSWORD_CHANGED = "password_changed"
    PASSWORD_RESET = "password_reset"
    PASSKEY_ADDED = "passkey_added"
    PASSKEY_REMOVED = "passkey_removed"
    #: To the old address of an account.
    EMAIL_CHANGED = "email_changed"
    ACCOUNT_DISABLED = "account_disabled"
    NEW_LOGIN = "new_login"
    ACCOUNT_LOCKED = "account_locked"
    #: After the link "this was not me": what was done, and how to go on.
    ACCOUNT_SECURED = "account_secured"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailRules:
    """What is true of all mails of one kind."""

    #: The names of the variables that its texts use. Each mail has all of them.
    variables: frozenset[str]
    #: How long the mail is worth sending. A mail that waits longer is wiped.
    lifetime: timedelta
    share: MailShare
    #: Whether it goes to an address that its user has not verified yet. A high bounce rate pauses such mails.
    is_to_unverified: bool = False
    #: Whether it tells the user what has happened.
    is_notice: bool = False

    @property
    def is_essential(self) -> bool:
        """Whether the user must learn of it in any case, also after a complaint of the mailbox's user."""
        return self.share is MailShare.ESSENTIAL


_LINK: Final = frozenset({"token"})
_LINK_AND_CODE: Final = frozenset({"token", "code"})
#: When, on which device and from which client IP. The link "this was not me" has a token.
_EVENT: Final = frozenset({"time", "device", "client_ip"})
_EVENT_WITH_LINK: Final = _EVENT | {"undo_token"}
_DAY: Final = timedelta(days=1)


def _notice(variables: frozenset[str] = _EVENT_WITH_LINK, *, is_essential: bool = True) -> MailRules:
    share = MailShare.ESSENTIAL if is_essential else MailShare.TRIGGERED
    return MailRules(variables=variables, lifetime=3 * _DAY, share=share, is_notice=True)


def _open(variables: frozenset[str], *, is_to_unverified: bool = True) -> MailRules:
    return MailRules(variables=variables, lifetime=_DAY, share=MailShare.OPEN, is_to_unverified=is_to_unverified)


#: The rules of each kind.
MAIL_RULES: Final = {
    MailKind.VERIFY_EMAIL: _open(_LINK_AND_CODE),
    MailKind.ADDRESS_TAKEN: _open(frozenset(), is_to_unverified=False),
    MailKind.REGISTER_AGAIN: _open(_LINK),
    MailKind.RESET_PASSWORD: MailRules(variables=_LINK, lifetime=timedelta(minutes=30), share=MailShare.REQUESTED),
    MailKind.CONFIRM_NEW_EMAIL: _open(_LINK_AND_CODE),
    MailKind.PASSWORD_CHANGED: _notice(),
    MailKind.PASSWORD_RESET: _notice(),
    MailKind.PASSKEY_ADDED: _notice(),
    MailKind.PASSKEY_REMOVED: _notice(),
    MailKind.EMAIL_CHANGED: _notice(),
    MailKind.ACCOUNT_DISABLED: _notice(_EVENT),
    MailKind.NEW_LOGIN: _notice(_EVENT_WITH_LINK | {"further_logins"}, is_essential=False),
    MailKind.ACCOUNT_LOCKED: _notice(_EVENT, is_essential=False),
    MailKind.ACCOUNT_SECURED: _notice(_EVENT),
}
