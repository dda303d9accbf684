"""POST /step-up: a caller proves their identity again, and gets the step-up token that sensitive requests need.

The client sends the token in the header ``Step-Up-Token``, beside the access token.
"""

from auth_common import errors
from auth_common.audit_log.writer import install_audit_writer
from auth_common.step_up.schemas import StepUpMethodsResponse, StepUpRequest, StepUpResponse
from auth_common.step_up.service import begin_step_up, complete_step_up
from auth_common.web.application import create_app, create_handler
from auth_common.web.caller import Caller
from auth_common.web.endpoint import BEARER, endpoint

app = create_app()

STEP_UP_ERRORS = (
    errors.InvalidChallenge,
    errors.InvalidCurrentPassword,
    errors.StepUpFailed,
    errors.StepUpPasswordRequired,
    errors.TooManyAttempts,
)


@app.post("/step-up", response_model_exclude_none=True, **endpoint(access=BEARER, errors=STEP_UP_ERRORS))
async def step_up(caller: Caller, body: StepUpRequest) -> StepUpResponse | StepUpMethodsResponse:
    """Return a step-up token for a proof of identity. For an empty body, return the possible proofs.

    The token is valid for 10 minutes. The fifth wrong proof in a row revokes the session. If the account has passkeys,
    a token proved by password alone only revokes other sessions.
    """
    if body.is_empty:
        return StepUpMethodsResponse.model_validate(begin_step_up(caller))
    return StepUpResponse.model_validate(
        complete_step_up(
            caller,
            current_password=body.current_password,
            challenge_id=body.challenge_id,
            credential=body.credential,
        )
    )


install_audit_writer()
handler = create_handler(app)
