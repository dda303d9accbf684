"""An example of each request and each answer in docs/openapi.json. Tokens and ids in it open nothing."""

from typing import Any, Final

_USER_ID: Final = "3f0e6a52-8f0b-4f5b-9a53-6c1f0d1f2a7e"
_SESSION_ID: Final = "b9d1c6f4-3a75-4c0e-8d52-0f6f5a1c7e21"
_PASSKEY_ID: Final = "7d2f9c1b-5e64-4b8a-9f30-2c4d6e8f0a13"
_CHALLENGE_ID: Final = "c2a4e6f8-1b3d-4f5a-8c7e-9d0b2f4a6c8e"
_CHALLENGE: Final = "0tTcXm2nJ8v4qkQzW5s1uGyH7bLr9aFeKp3oNxVdY6M"
_MOMENT: Final = "2026-01-31T09:30:00Z"

_TOKENS: Final = {
    "access_token": "<header>.<claims>.<signature>",
    "token_type": "Bearer",
    "expires_in": 900,
    "refresh_token": "rt_<43 characters>",
    "refresh_expires_in": 604800,
}
_LOGIN: Final = {**_TOKENS, "step_up_token": "su_<43 characters>"}
_PASSKEY: Final = {
    "id": _PASSKEY_ID,
    "credential_id": "4cKQ0bT1rJ8uXyWmZ5oHfA",
    "name": "Laptop",
    "created_at": _MOMENT,
    "last_used_at": None,
    "transports": ["internal", "hybrid"],
    "aaguid": "ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4",
    "backed_up": True,
}
_CREDENTIAL: Final = {"id": "<base64url>", "rawId": "<base64url>", "type": "public-key", "clientExtensionResults": {}}


def _one(value: Any, summary: str | None = None) -> dict[str, Any]:
    return {"example": {"value": value} | ({"summary": summary} if summary else {})}


EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "register": {
        "request": _one(
            {
                "name": "Ada Example",
                "email": "ada@example.com",
                "date_of_birth": "1980-04-14",
                "job_title": "Engineer",
                "password": "violet anchor seventeen drums",
            }
        ),
        "response": _one(
            {
                "id": _USER_ID,
                "name": "Ada Example",
                "email": "ada@example.com",
                "date_of_birth": "1980-04-14",
                "job_title": "Engineer",
                "role": "user",
                "created_at": _MOMENT,
            }
        ),
        "202": _one({"status": "accepted"}),
    },
    "login": {
        "request": _one({"email": "ada@example.com", "password": "violet anchor seventeen drums"}),
        "response": {
            "tokens": {"summary": "of an account without passkeys", "value": _LOGIN},
            "mfa_required": {
                "summary": "of an account with a passkey",
                "value": {
                    "mfa_required": True,
                    "mfa_token": "<header>.<claims>.<signature>",
                    "expires_in": 300,
                    "methods": ["webauthn"],
                },
            },
        },
    },
    "step_up": {
        "request": {
            "methods": {"summary": "ask for the methods and, with passkeys, a challenge", "value": {}},
            "password": {
                "summary": "prove it with the password",
                "value": {"current_password": "violet anchor seventeen drums"},
            },
            "passkey": {
                "summary": "prove it with a passkey",
                "value": {"challenge_id": _CHALLENGE_ID, "credential": _CREDENTIAL},
            },
        },
        "response": {
            "token": {
                "summary": "after a proof",
                "value": {"step_up_token": "su_<43 characters>", "expires_in": 600},
            },
            "methods": {"summary": "of an account without passkeys", "value": {"methods": ["password"]}},
        },
    },
    "put_password": {
        "request": _one(
            {
                "current_password": "violet anchor seventeen drums",
                "new_password": "copper lantern eleven rivers",
            }
        )
    },
    "refresh_tokens": {"request": _one({"refresh_token": "rt_<43 characters>"}), "response": _one(_TOKENS)},
    "get_sessions": {
        "response": _one(
            {
                "items": [
                    {
                        "id": _SESSION_ID,
                        "device": "Firefox on Linux",
                        "ip": "203.0.113.7",
                        "created_at": _MOMENT,
                        "last_used_at": _MOMENT,
                        "expires_at": "2026-03-02T09:30:00Z",
                        "current": True,
                    }
                ],
                "next_cursor": None,
            }
        )
    },
    "begin_registration": {
        "request": _one({}),
        "response": _one(
            {
                "challenge_id": _CHALLENGE_ID,
                "options": {
                    "rp": {"id": "localhost", "name": "Secure Backend"},
                    "user": {"id": "<base64url>", "name": "ada@example.com", "displayName": "Ada Example"},
                    "challenge": _CHALLENGE,
                    "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
                },
            }
        ),
    },
    "complete_registration": {
        "request": _one(
            {
                "challenge_id": _CHALLENGE_ID,
                "credential": {
                    **_CREDENTIAL,
                    "response": {"clientDataJSON": "<base64url>", "attestationObject": "<base64url>"},
                },
                "name": "Laptop",
            }
        ),
        "response": _one(_PASSKEY),
    },
    "begin_login": {
        "request": {
            "second_factor": {"summary": "after a password", "value": {"mfa_token": "<header>.<claims>.<signature>"}},
            "alone": {"summary": "with the passkey alone", "value": {}},
        },
        "response": _one(
            {
                "challenge_id": _CHALLENGE_ID,
                "options": {"challenge": _CHALLENGE, "rpId": "localhost", "userVerification": "required"},
            }
        ),
    },
    "complete_login": {
        "request": _one(
            {
                "challenge_id": _CHALLENGE_ID,
                "credential": {
                    **_CREDENTIAL,
                    "response": {
                        "clientDataJSON": "<base64url>",
                        "authenticatorData": "<base64url>",
                        "signature": "<base64url>",
                        "userHandle": "<base64url>",
                    },
                },
            }
        ),
        "response": _one(_LOGIN),
    },
    "list_passkeys": {"response": _one({"items": [_PASSKEY], "next_cursor": None})},
    "rename_passkey": {"request": _one({"name": "Old laptop"})},
    "jwks": {
        "response": _one(
            {
                "keys": [
                    {
                        "kty": "EC",
                        "crv": "P-256",
                        "x": "<base64url>",
                        "y": "<base64url>",
                        "use": "sig",
                        "alg": "ES256",
                        "kid": "<thumbprint>",
                    }
                ]
            }
        )
    },
    "health": {"response": _one({"status": "ok"})},
    "get_events": {
        "response": _one(
            {
                "items": [
                    {
                        "id": f"{_CHALLENGE_ID}.17",
                        "time": "2026-01-31T09:30:00.123Z",
                        "event": "authn_login_fail",
                        "outcome": "failure",
                        "severity": "low",
                        "user_id": _USER_ID,
                        "reason": "wrong_password",
                        "source_ip": "203.0.113.7",
                        "user_agent": "Mozilla/5.0",
                        "function": "login",
                        "method": "POST",
                        "path": "/login",
                        "request_id": "0f6a2c9e-1b1d-4a3f-9a65-6b1f0f3c2d11",
                        "detail": {},
                        "erased": False,
                        "chain": {"id": _CHALLENGE_ID, "sequence": 17, "mac": "<64 hex digits>", "intact": True},
                    }
                ],
                "next_cursor": None,
            }
        )
    },
    "get_summary": {
        "response": _one(
            {
                "from": "2026-01-30T09:30:00Z",
                "to": "2026-01-31T09:30:00Z",
                "interval": 300,
                "series": [
                    {"start": "2026-01-31T09:30:00Z", "event": "authn_login_fail", "outcome": "failure", "count": 3}
                ],
                "reasons": [{"value": "wrong_password", "count": 3}],
                "sources": [{"value": "203.0.113.7", "count": 3}],
                "accounts": [{"value": _USER_ID, "count": 3}],
            }
        )
    },
}
EXAMPLES["get_user"] = {"response": EXAMPLES["register"]["response"]}
