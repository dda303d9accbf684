"""Request and responses of registration and profiles."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from auth_common.field_types import (
    MAIL_TOKEN_EXAMPLE,
    Email,
    MailTokenText,
    NewPassword,
    Password,
    RequestBody,
    Text,
    Timestamp,
)

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


def _parse_date_of_birth(value: Any) -> date:
    """Return the date of ``1980-04-14`` or of a timestamp such as ``1980-04-14T10:00:00Z``. The time is ignored.

    Raises:
        ValueError: the value has neither form, or is not a date between 1900-01-01 and yesterday (UTC).

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


_REGISTRATION_EXAMPLE: Final[dict[str, Any]] = {
    "name": "Ada Example",
    "email": "ada@example.com",
    "date_of_birth": "1980-04-14",
    "job_title": "Engineer",
    "password": "violet anchor seventeen drums",
}


class RegistrationRequest(RequestBody):
    """POST /users."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [_REGISTRATION_EXAMPLE, {**_REGISTRATION_EXAMPLE, "address_token": MAIL_TOKEN_EXAMPLE}]
        }
    )

    name: Text
    email: Email
    date_of_birth: DateOfBirth
    job_title: Text
    password: NewPassword
    #: From the link of a mail. The new account replaces an unverified account with this address.
    address_token: MailTokenText | None = None


class UserResponse(BaseModel):
    """A user, as the user and admins see the account."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: Annotated[str, Field(examples=["Ada Example"])]
    email: Annotated[str, Field(examples=["ada@example.com"])]
    date_of_birth: date
    job_title: Annotated[str, Field(examples=["Engineer"])]
    email_verified: Annotated[bool, Field(examples=[False])]
    role: Annotated[str, Field(examples=["user"])]
    created_at: Timestamp


class VerificationMailRequest(RequestBody):
    """POST /email/verification."""

    email: Email


class EmailChangeRequest(RequestBody):
    """PUT /users/{id}/email."""

    new_email: Email


class EmailVerificationRequest(RequestBody):
    """POST /email/verify: a link's token, or a code with its address. Without an access token also the password."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"token": MAIL_TOKEN_EXAMPLE, "password": "violet anchor seventeen drums"},
                {"email": "ada@example.com", "code": "7KQ4-M2XB", "password": "violet anchor seventeen drums"},
                {"token": MAIL_TOKEN_EXAMPLE},
            ]
        }
    )

    token: MailTokenText | None = None
    email: Email | None = None
    code: Annotated[str, Field(max_length=32)] | None = None
    password: Password | None = None

    @model_validator(mode="after")
    def _require_one_proof(self) -> Self:
        has_code = self.email is not None and self.code is not None
        has_part_of_code = self.email is not None or self.code is not None
        if (self.token is not None) == has_part_of_code or has_part_of_code != has_code:
            message = "must have either token, or email and code"
            raise ValueError(message)
        return self


class SecureAccountRequest(RequestBody):
    """POST /account/secure."""

    #: From the link of the notice.
    token: MailTokenText
