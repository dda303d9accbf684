"""E-mail addresses: which ones are accepted, and in which form they are stored."""

from typing import Final

import email_validator
from email_validator import EmailNotValidError, validate_email

#: Characters: 64 of the local part, "@", and 255 of the domain (RFC 5321 section 4.5.3.1).
MAX_EMAIL_LENGTH: Final = 320

#: Domains without mailboxes: .invalid never resolves, RFC 7686 section 2 tells software without Tor to reject .onion,
#: and the others are for the reverse lookup of IP addresses. email-validator also rejects names for tests and local
#: networks (.test, .local, .localhost, home.arpa: RFC 6761, 6762 and 8375). This service looks up no domain, so it
#: accepts them, as it accepts ".lan".
_REJECTED_DOMAINS: Final = ["invalid", "onion", "in-addr.arpa", "ip6.arpa"]
email_validator.SPECIAL_USE_DOMAIN_NAMES[:] = _REJECTED_DOMAINS


def normalise_email(address: str) -> str:
    """Return the form in which ``address`` is stored and compared, without the blanks around it.

    The local part must be ASCII, so no look-alike (a Cyrillic "a", a dotless "i", a full-width letter) passes for
    another user's address. An international domain is stored in its ASCII form (IDNA). All letters become lower case.
    RFC 5321 permits local parts that differ in case alone, but no provider of today has them.

    Raises:
        ValueError: ``address`` is not an e-mail address. The message does not contain it.

    """
    try:
        # strict: at most 64 characters before the @
        parsed = validate_email(address.strip(), allow_smtputf8=False, check_deliverability=False, strict=True)
    except EmailNotValidError:
        message = "is not a valid e-mail address"
        raise ValueError(message) from None
    return f"{parsed.ascii_local_part}@{parsed.ascii_domain}".lower()
