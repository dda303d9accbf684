"""Request and responses of the step-up."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from auth_common.field_types import ChallengeId, Password, RequestBody
from auth_common.passkeys.schemas import ASSERTION_EXAMPLE, CHALLENGE_ID_EXAMPLE, OPTIONS_EXAMPLE


class StepUpRequest(RequestBody):
    """POST /step-up: empty for the methods, or a proof. The credential is an AuthenticationResponseJSON."""

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
    challenge_id: Annotated[str | None, Field(examples=[CHALLENGE_ID_EXAMPLE])] = None
    options: Annotated[dict[str, Any] | None, Field(examples=[OPTIONS_EXAMPLE])] = None


class StepUpResponse(BaseModel):
    """A step-up that has succeeded. Seconds."""

    model_config = ConfigDict(from_attributes=True)

    step_up_token: Annotated[str, Field(examples=["su_<43 characters>"])]
    expires_in: Annotated[int, Field(examples=[600])]
