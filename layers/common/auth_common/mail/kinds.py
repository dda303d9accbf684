"""The kinds of mail that the service sends, and the rules of each."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final


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
    #: Whether it tells the user what has happened.
    is_notice: bool = False
    #: Whether the user must learn of it in any case: a change of credentials or of the address. Neither a limit nor a
    #: complaint of the mailbox's user stops it.
    is_essential: bool = False


_LINK: Final = frozenset({"token"})
_LINK_AND_CODE: Final = frozenset({"token", "code"})
#: When, on which device and from which client IP. The link "this was not me" has a token.
_EVENT: Final = frozenset({"time", "device", "client_ip"})
_EVENT_WITH_LINK: Final = _EVENT | {"undo_token"}
_DAY: Final = timedelta(days=1)


def _notice(variables: frozenset[str] = _EVENT_WITH_LINK, *, is_essential: bool = True) -> MailRules:
    return MailRules(variables=variables, lifetime=3 * _DAY, is_notice=True, is_essential=is_essential)


#: The rules of each kind.
MAIL_RULES: Final = {
    MailKind.VERIFY_EMAIL: MailRules(variables=_LINK_AND_CODE, lifetime=_DAY),
    MailKind.ADDRESS_TAKEN: MailRules(variables=frozenset(), lifetime=_DAY),
    MailKind.REGISTER_AGAIN: MailRules(variables=_LINK, lifetime=_DAY),
    MailKind.RESET_PASSWORD: MailRules(variables=_LINK, lifetime=timedelta(minutes=30)),
    MailKind.CONFIRM_NEW_EMAIL: MailRules(variables=_LINK_AND_CODE, lifetime=_DAY),
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
