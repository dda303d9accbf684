"""PUT /users/{id}/password: a person changes their own password.

Behind the authorizer. An access token alone is not enough: the current password must be right, and who has a passkey
must have just logged in with it.
"""

from auth_common.services.password_change import change_password
from auth_common.web.application import create_app, create_handler
from auth_common.web.dependencies import Caller, PathId
from auth_common.web.schemas import ChangePasswordRequest

app = create_app()


@app.put("/users/{id}/password", status_code=204)
async def put_password(user_id: PathId, caller: Caller, body: ChangePasswordRequest) -> None:
    """Replace one's password and end one's other sessions; 400 for a wrong current one, 403 for anybody else's id.

    The session that asks goes on with its refresh token; its access token ends with the others.
    """
    change_password(caller, user_id, current_password=body.current_password, new_password=body.new_password)


handler = create_handler(app)
