"""Request and responses of the login with a password."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from auth_common.field_types import Email, Password, RequestBody
from auth_common.sessions.schemas import TokenPairResponse


class LoginRequest(RequestBody):
    """POST /login."""

    email: Email
    password: Password


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
