"""PUT /users/{id}/password: a user changes their own password.

An access token alone is not enough, because an attacker may have stolen it: the user sends the current password too. An
account with passkeys also needs a step-up token that was proved with a passkey.
"""

from auth_common.audit_log.writer import install_audit_writer
from auth_common.errors import Forbidden, InvalidCurrentPassword, NotFound, StepUpRequired, TooManyAttempts
from auth_common.passwords.change import change_password
from auth_common.passwords.schemas import ChangePasswordRequest
from auth_common.web.application import create_app, create_handler
from auth_common.web.caller import Caller, PathId, StepUpToken
from auth_common.web.endpoint import BEARER, endpoint

app = create_app()


@app.put(
    "/users/{id}/password",
    status_code=204,
    # NotFound: an id with a slash makes another path.
    **endpoint(access=BEARER, errors=(InvalidCurrentPassword, Forbidden, NotFound, StepUpRequired, TooManyAttempts)),
)
async def put_password(
    user_id: PathId, caller: Caller, body: ChangePasswordRequest, step_up_token: StepUpToken = None
) -> None:
    """Change the caller's password. All other sessions of the caller are revoked.

    The caller's session stays valid, and its refresh token returns a new access token. Its present access token and its
    step-up token end.
    """
    change_password(
        caller,
        user_id,
        current_password=body.current_password,
        new_password=body.new_password,
        step_up_token=step_up_token,
    )


install_audit_writer()
handler = create_handler(app)
