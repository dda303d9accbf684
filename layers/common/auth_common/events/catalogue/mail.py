"""Catalogue entries of the security events about mails."""

from collections.abc import Mapping
from typing import Final

from auth_common.events.catalogue.entry import CatalogueEntry
from auth_common.events.vocabulary import OCSFClass, SecurityEvent, Severity

_FIELDS: Final = {"target": "the id of the mail", "mail_kind": "what the mail is about, such as `reset_password`"}

MAIL_EVENTS: Final[Mapping[SecurityEvent, CatalogueEntry]] = {
    SecurityEvent.MAIL_BOUNCED: CatalogueEntry(
        succeeded=False,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.API_ACTIVITY,
        activity=1,
        when="the provider reports that it could not deliver a mail that it had accepted",
        respond="A single one comes from a typing error in an address. Many mean that an attacker registers invented "
        "addresses, and may cost the domain its reputation (docs/runbooks/mail-bounces.md).",
        reasons={
            "permanent": "the mailbox does not exist, or rejects our mails for good",
            "transient": "the provider has tried for its whole period, for example because the mailbox was full",
            "complaint": "the mailbox's user has reported the mail as spam",
        },
        fields=_FIELDS,
    ),
    SecurityEvent.MAIL_FAILED: CatalogueEntry(
        succeeded=False,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.API_ACTIVITY,
        activity=1,
        when="the service gives up a mail. Its content is wiped",
        respond="The user did not get the mail, and can request most kinds again. Several mean that the provider or "
        "the settings of mail have a fault (docs/runbooks/mail-failures.md).",
        reasons={
            "attempts_used_up": "every attempt failed. `cause` says how the last one did",
            "expired": "the mail was not worth sending any more, for example because its link has expired",
            "outcome_unknown": "two senders in a row ended before they recorded an outcome. The mail was sent at most "
            "twice",
            "refused": "the provider rejects the mail for good. `cause` says why",
            "unreadable": "the content cannot be decrypted, because the user was erased or an attacker changed the row",
        },
        fields={**_FIELDS, "cause": "the transport's reason", "attempts": "the number of attempts"},
    ),
    SecurityEvent.MAIL_PAUSED: CatalogueEntry(
        succeeded=False,
        severity=Severity.HIGH,
        ocsf_class=OCSFClass.API_ACTIVITY,
        activity=1,
        when="more than 3 % of the mails of a day bounce. Mails to addresses that were never verified wait",
        respond="An attacker probably registers invented addresses. New users cannot verify their address meanwhile "
        "(docs/runbooks/mail-paused.md).",
        fields={"bounced": "the number of addresses that bounced within the day"},
    ),
    SecurityEvent.MAIL_RESUMED: CatalogueEntry(
        succeeded=True,
        severity=Severity.LOW,
        ocsf_class=OCSFClass.API_ACTIVITY,
        activity=1,
        when="mails to addresses that were never verified are sent again",
        respond="Nothing.",
        reasons={
            "by_operator": "by an operator's command",
            "rate_fell": "the bounce rate of the last day is low enough",
        },
    ),
    SecurityEvent.MAIL_SENT: CatalogueEntry(
        succeeded=True,
        ocsf_class=OCSFClass.API_ACTIVITY,
        activity=1,
        when="the provider accepts a mail",
        respond="Nothing.",
        fields={**_FIELDS, "attempts": "the number of attempts"},
    ),
}
