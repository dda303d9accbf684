"""Requests and responses of the WebAuthn ceremonies and of passkeys."""

from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from auth_common.field_types import Base64URL, ChallengeId, RequestBody, Resource, Timestamp, clean_text


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
PasskeyName = Annotated[str, AfterValidator(clean_text), Field(max_length=100, examples=["Laptop"])]

CHALLENGE_ID_EXAMPLE: Final = "c2a4e6f8-1b3d-4f5a-8c7e-9d0b2f4a6c8e"
OPTIONS_EXAMPLE: Final = {"challenge": "0tTcXm2nJ8v4qkQzW5s1uGyH7bLr9aFeKp3oNxVdY6M", "rpId": "localhost"}
#: Valid in form only: an authenticator makes and signs the values.
_CREDENTIAL: Final = {
    "id": "AQID",
    "rawId": "AQID",
    "type": "public-key",
    "authenticatorAttachment": "platform",
    "clientExtensionResults": {},
}
_ATTESTATION_EXAMPLE: Final = {
    **_CREDENTIAL,
    "response": {"clientDataJSON": "e30", "attestationObject": "oA", "transports": ["internal"]},
}
ASSERTION_EXAMPLE: Final[dict[str, Any]] = {
    **_CREDENTIAL,
    "response": {"clientDataJSON": "e30", "authenticatorData": "AA", "signature": "AA", "userHandle": "AA"},
}


class BeginRegistrationRequest(RequestBody):
    """POST /webauthn/register/begin: an empty object."""


class CompleteLoginRequest(RequestBody):
    """POST /webauthn/login/complete. The credential is an AuthenticationResponseJSON (WebAuthn section 5.1)."""

    challenge_id: ChallengeId
    credential: Annotated[dict[str, Any], Field(examples=[ASSERTION_EXAMPLE])]
    #: The other service for which the access token is.
    resource: Resource = None


class CompleteRegistrationRequest(RequestBody):
    """POST /webauthn/register/complete. The credential is a RegistrationResponseJSON (WebAuthn section 5.1)."""

    challenge_id: ChallengeId
    credential: Annotated[dict[str, Any], AfterValidator(_check_transports), Field(examples=[_ATTESTATION_EXAMPLE])]
    name: PasskeyName | None = None


class BeginLoginRequest(RequestBody):
    """POST /webauthn/login/begin. Send the ``mfa_token`` of a login, or ``{}`` to log in with the passkey alone."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"mfa_token": "<header>.<claims>.<signature>"}, {}]})

    mfa_token: Annotated[str, Field(max_length=8192)] | None = None


class RenameRequest(RequestBody):
    """PATCH /webauthn/credentials/{id}."""

    name: PasskeyName


class CeremonyResponse(BaseModel):
    """A WebAuthn ceremony that has begun, with its ``options`` as JSON for the browser (WebAuthn section 5.1)."""

    model_config = ConfigDict(from_attributes=True)

    #: To be sent back as it is.
    challenge_id: Annotated[str, Field(examples=[CHALLENGE_ID_EXAMPLE])]
    options: Annotated[dict[str, Any], Field(examples=[OPTIONS_EXAMPLE])]


class PasskeyResponse(BaseModel):
    """A passkey, as its user sees it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    #: The authenticator's id of the passkey, for the browser's Signal API (WebAuthn section 5.1.10).
    credential_id: Base64URL
    name: Annotated[str, Field(examples=["Laptop"])]
    created_at: Timestamp
    last_used_at: Timestamp | None
    #: Hints of the browser: "internal", "usb", "hybrid", ... Unknown ones are kept (section 5.2.1).
    transports: Annotated[list[str], Field(examples=[["internal", "hybrid"]])]
    #: The authenticator's model, unattested.
    aaguid: UUID
    #: Whether it is synced, so that losing the device does not lose it.
    backed_up: Annotated[bool, Field(examples=[True])]


class SignalsResponse(BaseModel):
    """What a page tells authenticators about the user (``signalCurrentUserDetails``, WebAuthn section 5.1.10)."""

    model_config = ConfigDict(from_attributes=True)

    rp_id: Annotated[str, Field(examples=["localhost"])]
    #: The user handle, which the authenticators store.
    user_id: Base64URL
    name: Annotated[str, Field(examples=["person@example.com"])]
    display_name: Annotated[str, Field(examples=["Test Person"])]


class PasskeyListResponse(BaseModel):
    """GET /webauthn/credentials. A user has at most 10 passkeys, so one page contains all of them."""

    model_config = ConfigDict(from_attributes=True)

    items: list[PasskeyResponse]
    next_cursor: None = None
    #: For the browser's Signal API, with the ``credential_id`` of all items. Null if ``PASSKEY_SIGNALS`` is off: then a
    #: page must not signal.
    signals: SignalsResponse | None
