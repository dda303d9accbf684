"""POST /account/secure: a user says by the link in a notice that the event was not their own ("this was not me").

Any client with the link may call it, because an attacker may have the password and all sessions of the account
(docs/decisions/0028).
"""

from auth_common.accounts.schemas import SecureAccountRequest
from auth_common.accounts.securing import secure_account
from auth_common.audit_log.writer import install_audit_writer
from auth_common.errors import InvalidOrExpiredCode, MailNotConfigured, TooManyAttempts
from auth_common.web.application import create_app, create_handler
from auth_common.web.endpoint import ANYONE, endpoint

app = create_app()


@app.post(
    "/account/secure",
    status_code=204,
    **endpoint(access=ANYONE, errors=(InvalidOrExpiredCode, MailNotConfigured, TooManyAttempts)),
)
async def secure(body: SecureAccountRequest) -> None:
    """Take away from an account what an attacker may have, by the token of a notice.

    All sessions are revoked, the password no longer works until it is reset, and passkeys and addresses since the event
    of the notice are undone. Older passkeys still work. A repeated request changes nothing.
    """
    secure_account(token=body.token)


install_audit_writer()
handler = create_handler(app)
