"""What the catalogue of security events says of each."""

from dataclasses import dataclass, field
from typing import Final

from auth_common.events.vocabulary import OCSFClass, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event in the catalogue."""

    succeeded: bool
    severity: Severity = Severity.INFORMATIONAL
    ocsf_class: OCSFClass
    #: OCSF's ``activity_id`` in that class; none for API activity, where the HTTP method says it.
    activity: int | None
    when: str
    #: What the Security team does about it.
    respond: str
    #: ``reason``, where there is one, and what it means.
    reasons: dict[str, str] = field(default_factory=dict)
    #: Further fields (``unmapped`` in OCSF).
    fields: dict[str, str] = field(default_factory=dict)


#: The ``reason`` of what an operator's command does.
BY_OPERATOR: Final = {"by_operator": "by an operator's command"}
#: A field of what concerns an address without an account.
ACCOUNT: Final = {
    "account": "a keyed pseudonym of the address that was tried, where it has no account: counts addresses, names none"
}
