"""Requests and responses of the WebAuthn ceremonies and of passkeys."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from auth_common.field_types import Base64URL, ChallengeId, RequestBody, Timestamp, clean_text


def _check_transports(credential: dict[str, Any]) -> dict[str, Any]:
    """Reject transports that are no strings. The other members are checked by the ceremony."""
    response = credential.get("response")
    transports = response.get("transports") if isinstance(response, dict) else None
    # Some clients write null for an absent list.
    if transports is not None and not (isinstance(transports, list) and all(isinstance(t, str) for t in transports)):
        message = "response.transports must be a list of strings"
        raise ValueError(message)
    return credential


#: Any printable text, such as "2" or a picture of a key.
PasskeyName = Annotated[str, AfterValidator(clean_text), Field(max_length=100)]


class BeginRegistrationRequest(RequestBody):
    """POST /webauthn/register/begin: an empty object."""


class CompleteLoginRequest(RequestBody):
    """POST /webauthn/login/complete. The credential is an AuthenticationResponseJSON (WebAuthn section 5.1)."""

    challenge_id: ChallengeId
    credential: dict[str, Any]


class CompleteRegistrationRequest(RequestBody):
    """POST /webauthn/register/complete. The credential is a RegistrationResponseJSON."""

    challenge_id: ChallengeId
    credential: Annotated[dict[str, Any], AfterValidator(_check_transports)]
    name: PasskeyName | None = None


class BeginLoginRequest(RequestBody):
    """POST /webauthn/login/begin: with the mfa_token of a login, or without for a login with the passkey alone."""

    mfa_token: Annotated[str, Field(max_length=8192)] | None = None


class RenameRequest(RequestBody):
    """PATCH /webauthn/credentials/{id}."""

    name: PasskeyName


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
