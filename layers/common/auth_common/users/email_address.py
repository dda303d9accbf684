"""E-mail addresses: which ones are taken, and which two are the same."""

from typing import Final

import email_validator
from email_validator import EmailNotValidError, validate_email

#: RFC 5321 section 4.5.3.1: 64 octets of local part, "@", 255 octets of domain.
LONGEST: Final = 320

#: email-validator rejects more: names for tests and for local networks (.test, .local, .localhost, home.arpa), which
#: RFC 6761, 6762 and 8375 reserve for such use. This service does not look any domain up, so it accepts them as it
#: accepts ".lan". Mail reaches no mailbox under the names that stay: .invalid never resolves, RFC 7686 section 2 tells
#: software without Tor to reject .onion, and the others are for the reverse lookup of IP addresses.
_REJECTED_DOMAINS: Final = ["invalid", "onion", "in-addr.arpa", "ip6.arpa"]
email_validator.SPECIAL_USE_DOMAIN_NAMES[:] = _REJECTED_DOMAINS


def normalise_email(address: str) -> str:
    """Return the one form of ``address`` that is stored, compared and unique. Blanks around it are removed.

    Local parts are ASCII only, so a look-alike (a Cyrillic "a", a dotless "i", a full-width letter) is refused and
    cannot fold into another person's address. Domains may be international and are stored in their ASCII form (IDNA).
    Lower case throughout: RFC 5321 lets a server tell local parts apart by case, and no provider of today does.

    Raises:
        ValueError: not an address. The text does not repeat it.

    """
    try:
        # strict: at most 64 octets before the @
        parsed = validate_email(address.strip(), allow_smtputf8=False, check_deliverability=False, strict=True)
    except EmailNotValidError:
        message = "is not a valid e-mail address"
        raise ValueError(message) from None
    return f"{parsed.ascii_local_part}@{parsed.ascii_domain}".lower()
