"""GET /users/{id}: return a user's data to that user and to admins.

The authorizer has checked the access token. This function checks in the database whether the session is still valid and
whether the caller may see the user.
"""

from auth_common.accounts.profiles import get_profile
from auth_common.accounts.schemas import UserResponse
from auth_common.audit_log.writer import install_audit_writer
from auth_common.errors import Forbidden, NotFound
from auth_common.web.application import create_app, create_handler
from auth_common.web.caller import Caller, PathId
from auth_common.web.endpoint import BEARER, endpoint

app = create_app()


@app.get("/users/{id}", **endpoint(access=BEARER, errors=(Forbidden, NotFound)))
async def get_user(user_id: PathId, caller: Caller) -> UserResponse:
    """Return the caller's data, or for an admin any user's.

    Any other id returns 403, whether a user has it or not. An admin gets 404 for an id that no user has.
    """
    return UserResponse.model_validate(get_profile(caller, user_id))


install_audit_writer()
handler = create_handler(app)
