"""POST /login: exchange e-mail and password for a token pair, or for the right to a second factor.

Any client may call it. An unknown e-mail address costs the same hash as a wrong password, and both return the same 401.
"""

from auth_common.audit_log.writer import install_audit_writer
from auth_common.errors import InvalidCredentials, InvalidTarget, TooManyAttempts
from auth_common.login.schemas import LoginRequest, LoginResponse, MFARequiredResponse
from auth_common.login.service import MFARequired, log_in
from auth_common.web.application import create_app, create_handler
from auth_common.web.endpoint import ANYONE_OR_BEARER, endpoint
from auth_common.web.optional_caller import ReplacedSession

app = create_app()


@app.post("/login", **endpoint(access=ANYONE_OR_BEARER, errors=(InvalidTarget, InvalidCredentials, TooManyAttempts)))
async def login(body: LoginRequest, replaced: ReplacedSession) -> LoginResponse | MFARequiredResponse:
    """Return a token pair and a step-up token. If the account has a passkey, return an `mfa_token` instead.

    The `mfa_token` is for `POST /webauthn/login/begin`, the second factor. If the request has an access token and the
    response is a token pair, the session of that access token is revoked.
    """
    outcome = log_in(email=body.email, password=body.password, resource=body.resource, replaced=replaced)
    response = MFARequiredResponse if isinstance(outcome, MFARequired) else LoginResponse
    return response.model_validate(outcome)


install_audit_writer()
handler = create_handler(app)
