"""WebAuthn: /webauthn/{register,login}/{begin,complete} · /webauthn/credentials.

A user needs an access token to register, list, rename and delete passkeys. A login returns one, so it needs none.
"""

from auth_common import errors
from auth_common.audit_log.writer import install_audit_writer
from auth_common.login.schemas import LoginResponse
from auth_common.passkeys import management, passkey_login, registration, schemas
from auth_common.web.application import create_app, create_handler
from auth_common.web.caller import Caller, PathId, StepUpToken
from auth_common.web.endpoint import ANYONE, ANYONE_OR_BEARER, BEARER, endpoint
from auth_common.web.optional_caller import ReplacedSession

app = create_app()
passkey_change = endpoint(access=BEARER, errors=(errors.StepUpRequired, errors.NotFound))


@app.post(
    "/webauthn/register/begin",
    **endpoint(access=BEARER, errors=(errors.StepUpRequired, errors.TooManyPasskeys, errors.TooManyAttempts)),
)
async def begin_registration(
    caller: Caller, _body: schemas.BeginRegistrationRequest, step_up_token: StepUpToken = None
) -> schemas.CeremonyResponse:
    """Begin to add a passkey. Return the options for `navigator.credentials.create()`. A step-up token is needed."""
    return schemas.CeremonyResponse.model_validate(registration.begin_registration(caller, step_up_token=step_up_token))


@app.post(
    "/webauthn/register/complete",
    status_code=201,
    **endpoint(
        access=BEARER,
        errors=(
            errors.InvalidChallenge,
            errors.PasskeyRejected,
            errors.StepUpRequired,
            errors.TooManyPasskeys,
            errors.TooManyAttempts,
        ),
    ),
)
async def complete_registration(caller: Caller, body: schemas.CompleteRegistrationRequest) -> schemas.PasskeyResponse:
    """Add the passkey. Return it, and revoke all other sessions of the caller."""
    return schemas.PasskeyResponse.model_validate(
        registration.complete_registration(
            caller, challenge_id=body.challenge_id, credential=body.credential, name=body.name
        )
    )


@app.post("/webauthn/login/begin", **endpoint(access=ANYONE, errors=(errors.InvalidMFAToken, errors.TooManyAttempts)))
async def begin_login(body: schemas.BeginLoginRequest) -> schemas.CeremonyResponse:
    """Begin a login with a passkey. Return the options for `navigator.credentials.get()`.

    With an `mfa_token` the login is the second factor, without one the passkey is the only factor.
    """
    return schemas.CeremonyResponse.model_validate(passkey_login.begin_login(body.mfa_token))


@app.post(
    "/webauthn/login/complete",
    **endpoint(
        access=ANYONE_OR_BEARER,
        errors=(
            errors.InvalidTarget,
            errors.InvalidChallenge,
            errors.PasskeyLoginFailed,
            errors.PasswordRequired,
            errors.TooManyAttempts,
        ),
    ),
)
async def complete_login(body: schemas.CompleteLoginRequest, replaced: ReplacedSession) -> LoginResponse:
    """Log in with a passkey. Return a token pair and a step-up token. The session of a sent access token is revoked."""
    tokens = passkey_login.complete_login(
        challenge_id=body.challenge_id, credential=body.credential, resource=body.resource, replaced=replaced
    )
    return LoginResponse.model_validate(tokens)


@app.get("/webauthn/credentials", **endpoint(access=BEARER))
async def list_passkeys(caller: Caller) -> schemas.PasskeyListResponse:
    """Return the caller's passkeys."""
    return schemas.PasskeyListResponse.model_validate(management.list_passkeys(caller))


@app.patch("/webauthn/credentials/{id}", status_code=204, **passkey_change)
async def rename_passkey(
    caller: Caller, passkey_id: PathId, body: schemas.RenameRequest, step_up_token: StepUpToken = None
) -> None:
    """Rename one of the caller's passkeys. A step-up token is needed."""
    management.rename_passkey(caller, passkey_id, name=body.name, step_up_token=step_up_token)


@app.delete("/webauthn/credentials/{id}", status_code=204, **passkey_change)
async def delete_passkey(caller: Caller, passkey_id: PathId, step_up_token: StepUpToken = None) -> None:
    """Delete one of the caller's passkeys. A step-up token is needed. All other sessions of the caller are revoked."""
    management.delete_passkey(caller, passkey_id, step_up_token=step_up_token)


install_audit_writer()
handler = create_handler(app)
