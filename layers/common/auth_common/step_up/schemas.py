"""The request and responses of a step-up."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from auth_common.field_types import ChallengeId, Password, RequestBody
from auth_common.passkeys.schemas import ASSERTION_EXAMPLE, CHALLENGE_ID_EXAMPLE, OPTIONS_EXAMPLE


class StepUpRequest(RequestBody):
    """The body of POST /step-up: empty to get the methods, or a proof. `credential`: AuthenticationResponseJSON."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {},
                {"current_password": "violet anchor seventeen drums"},
                {"challenge_id": CHALLENGE_ID_EXAMPLE, "credential": ASSERTION_EXAMPLE},
            ]
        }
    )

    current_password: Password | None = None
    challenge_id: ChallengeId | None = None
    credential: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _require_challenge_and_credential(self) -> Self:
        if (self.challenge_id is None) != (self.credential is None):
            message = "challenge_id and credential must be sent together"
            raise ValueError(message)
        return self

    @property
    def is_empty(self) -> bool:
        """Whether the caller asks for the methods."""
        return self.current_password is None and self.credential is None


class StepUpMethodsResponse(BaseModel):
    """How the caller can prove their identity. If the account has passkeys, there is a challenge for them."""

    model_config = ConfigDict(from_attributes=True)

    methods: list[Literal["webauthn", "password"]]
    challenge_id: Annotated[str | None, Field(examples=[CHALLENGE_ID_EXAMPLE])] = None
    options: Annotated[dict[str, Any] | None, Field(examples=[OPTIONS_EXAMPLE])] = None


class StepUpResponse(BaseModel):
    """The step-up token, and its lifetime in seconds."""

    model_config = ConfigDict(from_attributes=True)

    step_up_token: Annotated[str, Field(examples=["su_<43 characters>"])]
    expires_in: Annotated[int, Field(examples=[600])]
