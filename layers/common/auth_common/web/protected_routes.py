"""The routes behind the authorizer.

`make docs` writes this file from the declarations of the endpoints. Do not edit it. The authorizer must not import the
endpoints, because they import FastAPI.
"""

from typing import Final

#: For the resources of an IAM policy. "*" also matches slashes. A test proves that no open route matches.
PROTECTED_ROUTES: Final = (
    "GET/users/*",
    "PUT/users/*/password",
    "POST/step-up",
    "PUT/users/*/email",
    "POST/logout",
    "GET/sessions",
    "DELETE/sessions",
    "DELETE/sessions/*",
    "POST/webauthn/register/begin",
    "POST/webauthn/register/complete",
    "GET/webauthn/credentials",
    "PATCH/webauthn/credentials/*",
    "DELETE/webauthn/credentials/*",
    "GET/audit/events",
    "GET/audit/summary",
)
