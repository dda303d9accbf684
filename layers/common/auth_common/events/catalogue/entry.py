"""The type of an entry in the catalogue of security events, and texts that several entries share."""

from dataclasses import dataclass, field
from typing import Final

from auth_common.events.vocabulary import OCSFClass, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """The meaning of one security event."""

    #: Whether the event is a success. All others are failures.
    succeeded: bool
    severity: Severity = Severity.INFORMATIONAL
    ocsf_class: OCSFClass
    #: OCSF's ``activity_id`` in that class. None for API activity, whose id depends on the HTTP method.
    activity: int | None
    #: What happened, as a clause after "When".
    when: str
    #: What the security team should do.
    respond: str
    #: The meaning of each possible ``reason``.
    reasons: dict[str, str] = field(default_factory=dict)
    #: The meaning of each further field (``unmapped`` in OCSF).
    fields: dict[str, str] = field(default_factory=dict)


#: The ``reason`` of events that an operator's command causes.
BY_OPERATOR: Final = {"by_operator": "by an operator's command"}
#: The field of events about an e-mail address without an account.
ACCOUNT: Final = {
    "account": "a keyed pseudonym of the e-mail address that was tried, if it has no account. It is the same for each "
    "attempt with this address"
}
#: Requests for a mail that send nothing.
NO_MAIL: Final = {
    "unknown_user": "the address has no account, and nothing is sent",
    "user_not_active": "the account is disabled, and nothing is sent",
}
#: Why the token of a link or a code is rejected.
MAIL_TOKEN_REJECTIONS: Final = {
    "mail_token_unknown": "the token is unknown, was used, or is for another purpose",
    "mail_token_expired": "the token has expired",
    "mail_token_used": "a concurrent request used the token first",
    "unknown_user": "the account does not exist any more",
    "user_not_active": "the account is disabled",
    "address_changed": "the account has another address",
    "token_version_changed": "the password or role was changed, or all sessions were revoked, after the mail was sent",
}
