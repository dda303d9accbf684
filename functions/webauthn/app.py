"""WebAuthn: /webauthn/{register,login}/{begin,complete} · /webauthn/credentials.

Registering and the list are behind the authorizer; the login is open to anyone, for it is what leads to a token.
"""

from auth_common.services import passkey_login, passkeys
from auth_common.web import schemas
from auth_common.web.application import create_app, create_handler
from auth_common.web.dependencies import Caller, PathId

app = create_app()


@app.post("/webauthn/register/begin")
async def begin_registration(caller: Caller, _body: schemas.BeginRegistrationRequest) -> schemas.CeremonyResponse:
    """Answer the options for ``navigator.credentials.create()``; 403 unless the caller has just logged in."""
    return schemas.CeremonyResponse.model_validate(passkeys.begin_registration(caller))


@app.post("/webauthn/register/complete", status_code=201)
async def complete_registration(caller: Caller, body: schemas.CompleteRegistrationRequest) -> schemas.PasskeyResponse:
    """Answer the new passkey, the first of which ends other sessions; 400 for what is not valid."""
    return schemas.PasskeyResponse.model_validate(passkeys.complete_registration(caller, **dict(body)))


@app.post("/webauthn/login/begin")
async def begin_login(body: schemas.BeginLoginRequest) -> schemas.CeremonyResponse:
    """Answer the options for ``navigator.credentials.get()``; 401 for an ``mfa_token`` that is not valid."""
    return schemas.CeremonyResponse.model_validate(passkey_login.begin_login(body.mfa_token))


@app.post("/webauthn/login/complete")
async def complete_login(body: schemas.CompleteLoginRequest) -> schemas.TokenPairResponse:
    """Answer a token pair; 400 for a challenge that is not valid, 401 for a passkey that proves nothing."""
    return schemas.TokenPairResponse.model_validate(passkey_login.complete_login(**dict(body)))


@app.get("/webauthn/credentials")
async def list_passkeys(caller: Caller) -> schemas.PasskeyListResponse:
    """Answer the caller's passkeys."""
    return schemas.PasskeyListResponse.model_validate({"items": passkeys.list_passkeys(caller)})


@app.patch("/webauthn/credentials/{id}", status_code=204)
async def rename_passkey(caller: Caller, passkey_id: PathId, body: schemas.RenameRequest) -> None:
    """Rename one of the caller's passkeys; 404 for any other id."""
    passkeys.rename_passkey(caller, passkey_id, name=body.name)


@app.delete("/webauthn/credentials/{id}", status_code=204)
async def delete_passkey(caller: Caller, passkey_id: PathId) -> None:
    """Delete one, and end other sessions; 403 unless freshly logged in with a passkey, 404 for any other id."""
    passkeys.delete_passkey(caller, passkey_id)


handler = create_handler(app)
