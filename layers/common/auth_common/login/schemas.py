"""Request and responses of the login with a password."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from auth_common.field_types import Email, Password, RequestBody, Resource
from auth_common.sessions.schemas import TokenPairResponse


class LoginRequest(RequestBody):
    """POST /login."""

    email: Email
    password: Password
    #: The other service for which the access token is. A login that needs a passkey names it in its second step.
    resource: Resource = None


class LoginResponse(TokenPairResponse):
    """The token pair of a login, and a step-up token for sensitive requests. The login counts as the step-up."""

    #: Sent in the header Step-Up-Token. Expires 10 minutes after the login.
    step_up_token: Annotated[str, Field(examples=["su_<43 characters>"])]


class MFARequiredResponse(BaseModel):
    """The response of POST /login if the account has a passkey. The password is right, and a passkey must follow."""

    model_config = ConfigDict(from_attributes=True)

    mfa_required: Literal[True] = True
    mfa_token: Annotated[str, Field(examples=["<header>.<claims>.<signature>"])]
    #: Seconds until the ``mfa_token`` expires.
    expires_in: Annotated[int, Field(examples=[300])]
    methods: list[Literal["webauthn"]] = ["webauthn"]
