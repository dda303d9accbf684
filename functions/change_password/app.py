"""PUT /users/{id}/password: a person changes their own password.

Behind the authorizer. An access token alone is not enough: the current password must be right. An account with passkeys
also needs a step-up token that was proved with one.
"""

from auth_common.passwords.change import change_password
from auth_common.passwords.schemas import ChangePasswordRequest
from auth_common.web.application import create_app, create_handler
from auth_common.web.caller import Caller, PathId, StepUpToken

app = create_app()


@app.put("/users/{id}/password", status_code=204)
async def put_password(
    user_id: PathId, caller: Caller, body: ChangePasswordRequest, step_up_token: StepUpToken = None
) -> None:
    """Replace the caller's password and revoke their other sessions; 400 for a wrong current one, 403 for another id.

    The caller's session goes on with its refresh token; its access token and its step-up token end.
    """
    change_password(
        caller,
        user_id,
        current_password=body.current_password,
        new_password=body.new_password,
        step_up_token=step_up_token,
    )


handler = create_handler(app)
