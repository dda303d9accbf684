"""The request body for the change of a password."""

from auth_common.field_types import NewPassword, Password, RequestBody


class ChangePasswordRequest(RequestBody):
    """PUT /users/{id}/password."""

    current_password: Password
    new_password: NewPassword
