"""Field types and bodies that several requests and responses share. Unknown fields of a request are rejected."""

import re
import unicodedata
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from auth_common.users.email_address import MAX_EMAIL_LENGTH, normalise_email

#: In characters. Longer than any password that registration accepts, so that no login fails because of the length.
MAX_SECRET_LENGTH: Final = 1024
#: Unassigned characters that will never be visible: noncharacters, those that DerivedCoreProperties.txt reserves as
#: Default_Ignorable_Code_Point, and controls of Egyptian hieroglyphs, which Python 3.11 does not know. U+E0100 to
#: U+E01EF are not among them, because they select forms of ideographs, which Japanese names need.
_NEVER_VISIBLE: Final = (
    range(0x2065, 0x2066),
    range(0xFDD0, 0xFDF0),
    range(0xFFF0, 0xFFF9),
    range(0x13439, 0x13440),
    range(0xE0000, 0xE0100),
    range(0xE01F0, 0xE1000),
    *(range(plane + 0xFFFE, plane + 0x10000) for plane in range(0, 0x110000, 0x10000)),
)
#: The flag of a part of a country, such as Scotland: a black flag, the name of the part in tag characters, and the end
#: of the tags (UTS #51, emoji tag sequences). Elsewhere tag characters are invisible text.
_REGIONAL_FLAG: Final = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
#: Characters that a name may contain but that are invisible on their own: joiners, fillers, variation selectors and
#: others of Default_Ignorable_Code_Point, and the blank Braille pattern.
_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u200c\u200d\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)


def clean_text(text: str) -> str:
    """Return ``text`` in NFC, without blanks around it.

    A name must not be rejected because its characters are newer than the Unicode version of Python. So unassigned
    characters are accepted, unless they will never be visible.

    Raises:
        ValueError: ``text`` has no visible character, or has one that makes different names look alike (Unicode TR 36).

    """
    text = unicodedata.normalize("NFC", text).strip()
    if not text:
        message = "must not be empty"
        raise ValueError(message)
    if all(character in _INVISIBLE or character.isspace() for character in text):
        message = "must contain a visible character"
        raise ValueError(message)
    if any(map(_is_forbidden, _REGIONAL_FLAG.sub("", text))):
        message = "contains characters that are not allowed"
        raise ValueError(message)
    return text


def _may_be_letter(character: str) -> bool:
    """Return whether ``character`` is a letter, or may be one in a newer Unicode version than Python's.

    From U+1F000 to U+1FFFF Unicode only adds symbols, such as emoji. Fillers of Hangul are invisible letters.
    """
    if character in _INVISIBLE:
        return False
    is_symbol = "\U0001f000" <= character <= "\U0001ffff"
    return character.isalpha() or (unicodedata.category(character) == "Cn" and not is_symbol)


def _is_forbidden(character: str) -> bool:
    """Return whether ``character`` is forbidden in names.

    Forbidden are control characters, line separators, surrogates, private characters, noncharacters and invisible
    formatting. So is the replacement character, which a gateway puts into a body that was not UTF-8. The two joiners
    are allowed, because Persian and Indic names need them.
    """
    if character in "\u200c\u200d\ufffd":
        return character == "\ufffd"
    category = unicodedata.category(character)
    if category == "Cn":
        return any(ord(character) in never for never in _NEVER_VISIBLE)
    return category in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def _require_letter(text: str) -> str:
    if not any(map(_may_be_letter, text)):
        message = "must contain a letter"
        raise ValueError(message)
    return text


def _utc_seconds(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


#: The maximum length does not include blanks around the address.
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True),
    Field(max_length=MAX_EMAIL_LENGTH, json_schema_extra={"format": "email"}, examples=["ada@example.com"]),
    AfterValidator(normalise_email),
]
#: The maximum length is that of the stored form, because NFC makes some characters longer.
Text = Annotated[str, AfterValidator(_require_letter), AfterValidator(clean_text), Field(max_length=100)]
ChallengeId = Annotated[str, Field(max_length=256, examples=["c2a4e6f8-1b3d-4f5a-8c7e-9d0b2f4a6c8e"])]
MAIL_TOKEN_EXAMPLE: Final = "mt_<43 characters>"
#: The token of a link in a mail.
MailTokenText = Annotated[str, Field(max_length=256, examples=[MAIL_TOKEN_EXAMPLE])]
Password = Annotated[
    str,
    Field(
        max_length=MAX_SECRET_LENGTH,
        json_schema_extra={"format": "password"},
        examples=["violet anchor seventeen drums"],
    ),
]
#: The OpenAPI document shows the limits of ``passwords.policy``. A longer or shorter password is rejected there, with a
#: message for the user.
NewPassword = Annotated[
    str,
    Field(
        max_length=MAX_SECRET_LENGTH,
        json_schema_extra={"format": "password", "minLength": 15, "maxLength": 256},
        examples=["copper lantern eleven rivers"],
    ),
]
#: The service for which an access token is (RFC 8707). ``tokens.access_tokens`` compares it with the settings.
Resource = Annotated[str | None, Field(max_length=2048, examples=[None])]
#: Bytes in base64url without padding (RFC 4648 section 5).
Base64URL = Annotated[
    bytes,
    PlainSerializer(lambda octets: urlsafe_b64encode(octets).decode().rstrip("="), return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "examples": ["4cKQ0bT1rJ8uXyWmZ5oHfA"]}),
]
#: RFC 3339 in UTC, whole seconds.
Timestamp = Annotated[
    datetime, PlainSerializer(_utc_seconds), WithJsonSchema({"type": "string", "format": "date-time"})
]


class RequestBody(BaseModel):
    """A request body. Unknown fields are rejected, so no caller registers ``role: admin``."""

    # hide_input_in_errors: the text of an exception must not bring a password into the log.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class FormBody(BaseModel):
    """A form body of a route of OAuth. Unknown parameters are ignored (RFC 6749 section 3.2)."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class AcceptedResponse(BaseModel):
    """A response that hides whether the address has an account (202, RFC 9110 section 15.3.3)."""

    status: Literal["accepted"] = "accepted"
