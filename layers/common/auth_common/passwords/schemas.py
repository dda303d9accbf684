"""The request that changes a password."""

from auth_common.field_types import NewPassword, Password, RequestBody


class ChangePasswordRequest(RequestBody):
    """PUT /users/{id}/password."""

    current_password: Password
    new_password: NewPassword
