"""GET /users/{id}: a user's data, for themselves and for admins.

Behind the authorizer, which has checked the access token. Whether the session still exists, and whether this caller may
see this user, is decided here, from the database.
"""

from auth_common.accounts.profiles import get_profile
from auth_common.accounts.schemas import UserResponse
from auth_common.web.application import create_app, create_handler
from auth_common.web.caller import Caller, PathId

app = create_app()


@app.get("/users/{id}")
async def get_user(user_id: PathId, caller: Caller) -> UserResponse:
    """Answer 200 with the user; 403 for anybody else's id, existing or not; 401 when the caller's session has ended."""
    return UserResponse.model_validate(get_profile(caller, user_id))


handler = create_handler(app)
