"""The request bodies for the change and the reset of a password."""

from auth_common.field_types import Email, MailTokenText, NewPassword, Password, RequestBody


class ChangePasswordRequest(RequestBody):
    """PUT /users/{id}/password."""

    current_password: Password
    new_password: NewPassword


class PasswordResetRequest(RequestBody):
    """POST /password/reset."""

    email: Email


class PasswordResetCompletionRequest(RequestBody):
    """POST /password/reset/complete."""

    #: From the link of the mail.
    token: MailTokenText
    new_password: NewPassword
