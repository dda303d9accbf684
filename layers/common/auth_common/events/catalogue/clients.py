"""Catalogue entries of the security events about the registration of clients."""

from collections.abc import Mapping
from typing import Final

from auth_common.events.catalogue.entry import BY_OPERATOR, CatalogueEntry
from auth_common.events.vocabulary import OCSFClass, SecurityEvent, Severity

_CLIENT: Final = {"client": "the name of the client"}
_METHOD: Final = {"method": "`client_secret`, or the algorithm of the public key"}

CLIENT_EVENTS: Final[Mapping[SecurityEvent, CatalogueEntry]] = {
    SecurityEvent.CLIENT_CREATED: CatalogueEntry(
        succeeded=True,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.ENTITY_MANAGEMENT,
        activity=1,
        when="an operator registers a client",
        respond="There must be a request for it, especially for one that may introspect.",
        reasons=BY_OPERATOR,
        fields={
            **_CLIENT,
            **_METHOD,
            "scopes": "the scopes that the client may request",
            "resources": "the audiences for which it may request tokens",
            "introspects": "`yes` if it may introspect tokens",
        },
    ),
    SecurityEvent.CLIENT_CREDENTIAL_CHANGED: CatalogueEntry(
        succeeded=True,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.ENTITY_MANAGEMENT,
        activity=3,
        when="an operator rotates the credential of a client, or ends the old one",
        respond="There must be a plan for it, or an incident for `old_ended_now`.",
        reasons={
            "rotated": "a new credential, and the one before stays valid",
            "old_ended_now": "a new credential, and all others are no longer valid",
            "old_ended": "the credential before the last rotation is no longer valid",
        },
        fields={**_CLIENT, **_METHOD},
    ),
    SecurityEvent.CLIENT_DELETED: CatalogueEntry(
        succeeded=True,
        severity=Severity.MEDIUM,
        ocsf_class=OCSFClass.ENTITY_MANAGEMENT,
        activity=4,
        when="an operator removes a client",
        respond="There must be a request for it.",
        reasons=BY_OPERATOR,
        fields=_CLIENT,
    ),
}
