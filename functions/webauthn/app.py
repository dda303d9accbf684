"""WebAuthn: /webauthn/{register,login}/{begin,complete} · /webauthn/credentials.

Registering and the list are behind the authorizer; the login is open to anyone, for it is what leads to a token.
"""

from auth_common.login.schemas import LoginResponse
from auth_common.passkeys import management, passkey_login, registration, schemas
from auth_common.web.application import create_app, create_handler
from auth_common.web.caller import Caller, PathId, StepUpToken

app = create_app()


@app.post("/webauthn/register/begin")
async def begin_registration(
    caller: Caller, _body: schemas.BeginRegistrationRequest, step_up_token: StepUpToken = None
) -> schemas.CeremonyResponse:
    """Return the options for ``navigator.credentials.create()``; 403 without a valid step-up token."""
    return schemas.CeremonyResponse.model_validate(registration.begin_registration(caller, step_up_token=step_up_token))


@app.post("/webauthn/register/complete", status_code=201)
async def complete_registration(caller: Caller, body: schemas.CompleteRegistrationRequest) -> schemas.PasskeyResponse:
    """Return the new passkey, and revoke the caller's other sessions; 400 for what is not valid."""
    return schemas.PasskeyResponse.model_validate(
        registration.complete_registration(
            caller, challenge_id=body.challenge_id, credential=body.credential, name=body.name
        )
    )


@app.post("/webauthn/login/begin")
async def begin_login(body: schemas.BeginLoginRequest) -> schemas.CeremonyResponse:
    """Answer the options for ``navigator.credentials.get()``; 401 for an ``mfa_token`` that is not valid."""
    return schemas.CeremonyResponse.model_validate(passkey_login.begin_login(body.mfa_token))


@app.post("/webauthn/login/complete")
async def complete_login(body: schemas.CompleteLoginRequest) -> LoginResponse:
    """Answer a token pair; 400 for a challenge that is not valid, 401 for a passkey that proves nothing."""
    tokens = passkey_login.complete_login(challenge_id=body.challenge_id, credential=body.credential)
    return LoginResponse.model_validate(tokens)


@app.get("/webauthn/credentials")
async def list_passkeys(caller: Caller) -> schemas.PasskeyListResponse:
    """Answer the caller's passkeys."""
    return schemas.PasskeyListResponse.model_validate({"items": management.list_passkeys(caller)})


@app.patch("/webauthn/credentials/{id}", status_code=204)
async def rename_passkey(
    caller: Caller, passkey_id: PathId, body: schemas.RenameRequest, step_up_token: StepUpToken = None
) -> None:
    """Rename one of the caller's passkeys; 403 without a valid step-up token, 404 for any other id."""
    management.rename_passkey(caller, passkey_id, name=body.name, step_up_token=step_up_token)


@app.delete("/webauthn/credentials/{id}", status_code=204)
async def delete_passkey(caller: Caller, passkey_id: PathId, step_up_token: StepUpToken = None) -> None:
    """Delete one, and revoke other sessions; 403 without a valid step-up token, 404 for any other id."""
    management.delete_passkey(caller, passkey_id, step_up_token=step_up_token)


handler = create_handler(app)
