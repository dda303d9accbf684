"""Requests and responses as pydantic models. Unknown fields are rejected, so no caller registers ``role: admin``."""

import re
import unicodedata
from base64 import urlsafe_b64encode
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from auth_common.services.email_address import LONGEST as LONGEST_EMAIL
from auth_common.services.email_address import normalise_email

_EARLIEST_BIRTH: Final = date(1900, 1, 1)
#: A date, or a date and time in the extended format of ISO 8601. Seconds, fraction and zone may be absent. A leap
#: second is 60, and the end of a day may be 24:00.
_DATE_OF_BIRTH: Final = re.compile(
    r"""(?P<date>\d{4}-\d{2}-\d{2})
    (?:T (?: (?:[01]\d|2[0-3]) (?: :[0-5]\d (?: :(?:[0-5]\d|60) (?:[.,]\d+)? )? )?
           | 24 (?: :00 (?: :00 (?:[.,]0+)? )? )? )
       (?: Z | [+-](?:[01]\d|2[0-3]) (?: :?[0-5]\d )? )? )?""",
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
#: Longer than any password that registration takes, so that a login never fails by its form.
_LONGEST_PASSWORD_INPUT: Final = 1024


#: Unassigned characters that will never be visible: noncharacters, what DerivedCoreProperties.txt reserves as
#: Default_Ignorable_Code_Point, and controls of Egyptian hieroglyphs, which Python 3.11 does not know. Not from U+E0100
#: to U+E01EF: they choose between forms of an ideograph, which Japanese names need.
_NEVER_VISIBLE: Final = (
    range(0x2065, 0x2066),
    range(0xFDD0, 0xFDF0),
    range(0xFFF0, 0xFFF9),
    range(0x13439, 0x13440),
    range(0xE0000, 0xE0100),
    range(0xE01F0, 0xE1000),
    *(range(plane + 0xFFFE, plane + 0x10000) for plane in range(0, 0x110000, 0x10000)),
)
#: The flag of a part of a country, such as Scotland: a black flag, the part in tag characters, and the end of the tags
#: (UTS #51, emoji tag sequences). Elsewhere tag characters are invisible text.
_REGIONAL_FLAG: Final = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
#: Characters that a name may have and that show nothing on their own: joiners, fillers, variation selectors and others
#: of Default_Ignorable_Code_Point, and the blank Braille pattern.
_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u200c\u200d\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)


def _clean_text(text: str) -> str:
    """Return ``text`` in NFC, trimmed.

    A name must not be rejected because its characters are newer than the Unicode that this version of Python knows. So
    unassigned characters are accepted, unless they will never be visible.

    Raises:
        ValueError: ``text`` shows nothing, or has a character with which one name can pass for another (Unicode TR 36).

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
    """Tell whether ``character`` is a letter, or may be one in a newer Unicode than Python's.

    From U+1F000 to U+1FFFF Unicode only adds symbols, such as emoji.
    """
    is_symbol = "\U0001f000" <= character <= "\U0001ffff"
    return character.isalpha() or (unicodedata.category(character) == "Cn" and not is_symbol)


def _is_forbidden(character: str) -> bool:
    """Tell whether no name may have ``character``.

    Forbidden are control characters, line separators, surrogates, private characters, noncharacters and invisible
    formatting. So is the replacement character, which a gateway leaves where a body was not UTF-8. The two joiners are
    allowed: Persian and Indic names need them.
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


def _check_transports(credential: dict[str, Any]) -> dict[str, Any]:
    """Reject transports that are no strings. The other members are checked by the ceremony."""
    response = credential.get("response")
    transports = response.get("transports") if isinstance(response, dict) else None
    # Some clients write null for an absent list.
    if transports is not None and not (isinstance(transports, list) and all(isinstance(t, str) for t in transports)):
        message = "response.transports must be a list of strings"
        raise ValueError(message)
    return credential


def _parse_date_of_birth(value: Any) -> date:
    """Return the date of ``1980-04-14`` or of a timestamp such as ``1980-04-14T10:00:00Z``, whose time is ignored.

    Raises:
        ValueError: neither of them, or not a date between 1900 and yesterday.

    """
    message = "must be a date such as 1980-04-14"
    match = _DATE_OF_BIRTH.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(message)
    try:
        born = date.fromisoformat(match["date"])
    except ValueError:
        raise ValueError(message) from None
    if not _EARLIEST_BIRTH <= born < datetime.now(UTC).date():
        message = "must be between 1900-01-01 and yesterday"
        raise ValueError(message)
    return born


def _utc_seconds(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


#: Measured without the blanks around it.
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True),
    Field(max_length=LONGEST_EMAIL, json_schema_extra={"format": "email"}),
    AfterValidator(normalise_email),
]
#: Measured as it is stored: composing (NFC) makes some characters longer.
Text = Annotated[str, AfterValidator(_require_letter), AfterValidator(_clean_text), Field(max_length=100)]
ChallengeId = Annotated[str, Field(max_length=256)]
#: Any printable text, such as "2" or a picture of a key.
PasskeyName = Annotated[str, AfterValidator(_clean_text), Field(max_length=100)]
DateOfBirth = Annotated[
    date,
    BeforeValidator(_parse_date_of_birth),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date",
            "description": "Between 1900-01-01 and yesterday. A timestamp such as `1980-04-14T10:00:00Z` is accepted "
            "too, with or without a zone. Its time is ignored.",
        }
    ),
]
Password = Annotated[str, Field(max_length=_LONGEST_PASSWORD_INPUT, json_schema_extra={"format": "password"})]
#: The document has the limits of ``password_policy``, which rejects other lengths in words for the user.
NewPassword = Annotated[
    str,
    Field(
        max_length=_LONGEST_PASSWORD_INPUT,
        json_schema_extra={"format": "password", "minLength": 15, "maxLength": 256},
    ),
]
#: Bytes in base64url without padding (RFC 4648 section 5).
Base64URL = Annotated[
    bytes,
    PlainSerializer(lambda octets: urlsafe_b64encode(octets).decode().rstrip("="), return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}),
]
#: RFC 3339 in UTC, whole seconds.
Timestamp = Annotated[
    datetime, PlainSerializer(_utc_seconds), WithJsonSchema({"type": "string", "format": "date-time"})
]


class _Request(BaseModel):
    # hide_input_in_errors: a password must not get into a log by way of an exception's text.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class RegistrationRequest(_Request):
    """POST /users."""

    name: Text
    email: Email
    date_of_birth: DateOfBirth
    job_title: Text
    password: NewPassword


class LoginRequest(_Request):
    """POST /login."""

    email: Email
    password: Password


class ChangePasswordRequest(_Request):
    """PUT /users/{id}/password."""

    current_password: Password
    new_password: NewPassword


class StepUpRequest(_Request):
    """POST /step-up: empty for the methods, or a proof. The credential is an AuthenticationResponseJSON."""

    current_password: Password | None = None
    challenge_id: ChallengeId | None = None
    credential: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _require_whole_answer(self) -> Self:
        if (self.challenge_id is None) != (self.credential is None):
            message = "challenge_id and credential must be sent together"
            raise ValueError(message)
        return self

    @property
    def is_empty(self) -> bool:
        """Whether it asks for the methods."""
        return self.current_password is None and self.credential is None


class RefreshRequest(_Request):
    """POST /token/refresh."""

    refresh_token: Annotated[str, Field(max_length=_LONGEST_PASSWORD_INPUT)]


class BeginRegistrationRequest(_Request):
    """POST /webauthn/register/begin: an empty object."""


class CompleteLoginRequest(_Request):
    """POST /webauthn/login/complete. The credential is an AuthenticationResponseJSON (WebAuthn section 5.1)."""

    challenge_id: ChallengeId
    credential: dict[str, Any]


class CompleteRegistrationRequest(_Request):
    """POST /webauthn/register/complete. The credential is a RegistrationResponseJSON."""

    challenge_id: ChallengeId
    credential: Annotated[dict[str, Any], AfterValidator(_check_transports)]
    name: PasskeyName | None = None


class BeginLoginRequest(_Request):
    """POST /webauthn/login/begin: with the mfa_token of a login, or without for a login with the passkey alone."""

    mfa_token: Annotated[str, Field(max_length=8192)] | None = None


class RenameRequest(_Request):
    """PATCH /webauthn/credentials/{id}."""

    name: PasskeyName


class UserResponse(BaseModel):
    """A user, as they themselves and admins see them."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    email: str
    date_of_birth: date
    job_title: str
    role: str
    created_at: Timestamp


class RegistrationAcceptedResponse(BaseModel):
    """What a registration answers that does not say whether the address was free: nothing (RFC 9110 section 15.3.3)."""

    status: Literal["accepted"] = "accepted"


class TokenPairResponse(BaseModel):
    """RFC 6749 section 5.1, with the refresh token's lifetime. Seconds."""

    model_config = ConfigDict(from_attributes=True)

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int
    refresh_token: str
    refresh_expires_in: int


class LoginResponse(TokenPairResponse):
    """The token pair of a login, with the step-up token that the login is proof enough for."""

    #: For the header Step-Up-Token, for 10 minutes.
    step_up_token: str


class MFARequiredResponse(BaseModel):
    """POST /login of a user who has a passkey: the password was right, the second factor is to come."""

    model_config = ConfigDict(from_attributes=True)

    mfa_required: Literal[True] = True
    mfa_token: str
    #: Seconds.
    expires_in: int
    methods: list[Literal["webauthn"]] = ["webauthn"]


class StepUpMethodsResponse(BaseModel):
    """How the caller can prove their identity. An account with passkeys also gets a challenge for them."""

    model_config = ConfigDict(from_attributes=True)

    methods: list[Literal["webauthn", "password"]]
    challenge_id: str | None = None
    options: dict[str, Any] | None = None


class StepUpResponse(BaseModel):
    """A step-up that has succeeded. Seconds."""

    model_config = ConfigDict(from_attributes=True)

    step_up_token: str
    expires_in: int


class CeremonyResponse(BaseModel):
    """A WebAuthn ceremony that has begun, with ``options`` as browsers parse them from JSON (WebAuthn section 5.1)."""

    model_config = ConfigDict(from_attributes=True)

    #: To be sent back as it is.
    challenge_id: str
    options: dict[str, Any]


class PasskeyResponse(BaseModel):
    """A passkey as its owner sees it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    #: The authenticator's id of it, for the browser's Signal API (WebAuthn section 5.1.10).
    credential_id: Base64URL
    name: str
    created_at: Timestamp
    last_used_at: Timestamp | None
    #: Hints of the browser: "internal", "usb", "hybrid", ... Unknown ones are kept (section 5.2.1).
    transports: list[str]
    #: The authenticator's model, unattested.
    aaguid: UUID
    #: Whether it is synced, so that losing the device does not lose it.
    backed_up: bool


class PasskeyListResponse(BaseModel):
    """GET /webauthn/credentials: all of them on one page, since there are at most ten."""

    items: list[PasskeyResponse]
    next_cursor: None = None


class SessionResponse(BaseModel):
    """A session as its owner sees it."""

    id: UUID
    #: What the client says it is, put into words.
    device: str
    ip: str
    created_at: Timestamp
    last_used_at: Timestamp
    expires_at: Timestamp
    #: The session that asks.
    current: bool


class SessionListResponse(BaseModel):
    """GET /sessions."""

    items: list[SessionResponse]
    next_cursor: str | None


class HealthResponse(BaseModel):
    """GET /health."""

    status: Literal["ok"] = "ok"
