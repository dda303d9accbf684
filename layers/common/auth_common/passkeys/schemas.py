"""Requests and responses of the WebAuthn ceremonies and of passkeys."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from auth_common.field_types import Base64URL, ChallengeId, RequestBody, Timestamp, clean_text


def _check_transports(credential: dict[str, Any]) -> dict[str, Any]:
    """Reject ``transports`` that are not a list of strings. The ceremony checks the other members of the credential."""
    response = credential.get("response")
    transports = response.get("transports") if isinstance(response, dict) else None
    # Some clients send null instead of leaving the list out.
    if transports is not None and not (isinstance(transports, list) and all(isinstance(t, str) for t in transports)):
        message = "response.transports must be a list of strings"
        raise ValueError(message)
    return credential


#: At most 100 characters of printable text, such as "2" or an emoji.
PasskeyName = Annotated[str, AfterValidator(clean_text), Field(max_length=100)]


class BeginRegistrationRequest(RequestBody):
    """POST /webauthn/register/begin: an empty object."""


class CompleteLoginRequest(RequestBody):
    """POST /webauthn/login/complete. The credential is an AuthenticationResponseJSON (WebAuthn section 5.1)."""

    challenge_id: ChallengeId
    credential: dict[str, Any]


class CompleteRegistrationRequest(RequestBody):
    """POST /webauthn/register/complete. The credential is a RegistrationResponseJSON (WebAuthn section 5.1)."""

    challenge_id: ChallengeId
    credential: Annotated[dict[str, Any], AfterValidator(_check_transports)]
    name: PasskeyName | None = None


class BeginLoginRequest(RequestBody):
    """POST /webauthn/login/begin. Send the ``mfa_token`` of a login, or ``{}`` to log in with the passkey alone."""

    mfa_token: Annotated[str, Field(max_length=8192)] | None = None


class RenameRequest(RequestBody):
    """PATCH /webauthn/credentials/{id}."""

    name: PasskeyName


class CeremonyResponse(BaseModel):
    """A WebAuthn ceremony that has begun, with its ``options`` as JSON for the browser (WebAuthn section 5.1)."""

    model_config = ConfigDict(from_attributes=True)

    #: The client sends this value back unchanged to complete the ceremony.
    challenge_id: str
    options: dict[str, Any]


class PasskeyResponse(BaseModel):
    """A passkey, as its user sees it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    #: The authenticator's id of the passkey, for the browser's Signal API (WebAuthn section 5.1.10).
    credential_id: Base64URL
    name: str
    created_at: Timestamp
    last_used_at: Timestamp | None
    #: Hints from the browser, such as "internal", "usb" or "hybrid". Unknown hints are stored too (section 5.2.1).
    transports: list[str]
    #: The authenticator's model, as the authenticator states it. No attestation proves it.
    aaguid: UUID
    #: Whether the passkey is synced. A synced passkey survives the loss of its device.
    backed_up: bool


class PasskeyListResponse(BaseModel):
    """GET /webauthn/credentials. A user has at most 10 passkeys, so one page contains all of them."""

    items: list[PasskeyResponse]
    next_cursor: None = None
