"""E-mail addresses: which ones are taken, and which two are the same."""

from typing import Final

from email_validator import EmailNotValidError, validate_email

#: RFC 5321 section 4.5.3.1: 64 octets of local part, "@", 255 octets of domain.
LONGEST: Final = 320


def normalise_email(address: str) -> str:
    """Return the one form of ``address`` that is stored, compared and unique.

    Local parts are ASCII only, so a look-alike (a Cyrillic "a", a dotless "i", a full-width letter) is refused and
    cannot fold into another person's address. Domains may be international and are stored in their ASCII form (IDNA).
    Lower case throughout: RFC 5321 lets a server tell local parts apart by case, and no provider of today does.

    Raises:
        ValueError: not an address. The text does not repeat it.

    """
    try:
        # strict: at most 64 octets before the @
        parsed = validate_email(address, allow_smtputf8=False, check_deliverability=False, strict=True)
    except EmailNotValidError:
        message = "is not a valid e-mail address"
        raise ValueError(message) from None
    return f"{parsed.ascii_local_part}@{parsed.ascii_domain}".lower()
