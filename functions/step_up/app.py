"""POST /step-up: a logged-in user proves their identity again, and gets the token that sensitive routes ask for.

Behind the authorizer. The token goes into the header ``Step-Up-Token``, beside the access token.
"""

from auth_common.step_up.schemas import StepUpMethodsResponse, StepUpRequest, StepUpResponse
from auth_common.step_up.service import begin_step_up, complete_step_up
from auth_common.web.application import create_app, create_handler
from auth_common.web.caller import Caller

app = create_app()


@app.post("/step-up", response_model_exclude_none=True)
async def step_up(caller: Caller, body: StepUpRequest) -> StepUpResponse | StepUpMethodsResponse:
    """Return the methods for an empty body, else a token of 10 minutes; 400 for a proof that is not right.

    The fifth wrong proof in a row revokes the session. A proof by password alone opens, for an account with passkeys,
    only the end of other sessions.
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


handler = create_handler(app)
