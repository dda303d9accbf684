"""Request and responses of the step-up."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from auth_common.field_types import ChallengeId, Password, RequestBody


class StepUpRequest(RequestBody):
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
