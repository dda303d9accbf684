"""Clients: register them, and make the credentials that they send."""

import base64
import json
import time
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from auth_common.clients.authentication import JWT_BEARER
from auth_common.clients.credentials import parse_public_key
from auth_common.clients.registration import PublicKeyCredential, add_client
from auth_common.settings import settings
from tests.support import leaks
from tests.support.databases import acting_as
from tests.support.events import form_event
from tests.support.forged_tokens import ABSENT
from tests.support.functions import Response, call

NAME = "billing"
RESOURCE = "https://orders.example.com"
SCOPES = ("orders.read", "orders.write")


def register_client(name: str = NAME, *, key: Any = None, algorithm: str | None = None, **options: Any) -> str:
    """Register a client and return its secret. With a private ``key``, the secret is empty."""
    options = {"resources": [RESOURCE], "scopes": SCOPES, **options}
    public_key = PublicKeyCredential(*parse_public_key(public_pem(key), algorithm=algorithm)) if key else None
    with acting_as("admin"):  # No function may add a client.
        _, secret = add_client(name, public_key=public_key, **options)
    leaks.remember(secret or "")
    return secret or ""


@lru_cache
def ec_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    """Return a private key on P-256, which is the same for the same ``number``."""
    return ec.derive_private_key(2**200 + number, ec.SECP256R1())


@lru_cache
def rsa_key(bits: int = 3_072) -> rsa.RSAPrivateKey:
    """Return a private RSA key, which is the same within a process."""
    return rsa.generate_private_key(65_537, bits)


def public_pem(key: Any) -> str:
    """Return the public half of a private key as PEM."""
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


def basic(name: str, secret: str) -> str:
    """Return the header field of client_secret_basic (RFC 6749 section 2.3.1)."""
    return "Basic " + base64.b64encode(f"{quote_plus(name)}:{quote_plus(secret)}".encode()).decode()


def assertion(
    key: Any, *, algorithm: str = "ES256", headers: dict[str, Any] | None = None, name: str = NAME, **changes: Any
) -> str:
    """Return a signed assertion of a client, with changes of its claims. ``ABSENT`` leaves a claim out."""
    now = int(time.time())
    claims = {"iss": name, "sub": name, "aud": settings().issuer(), "exp": now + 60, "jti": str(uuid4()), **changes}
    present = {claim: value for claim, value in claims.items() if value is not ABSENT}
    signed = jwt.PyJWS().encode(
        json.dumps(present).encode(), key, algorithm=algorithm, headers={"typ": "JWT", **(headers or {})}
    )
    leaks.remember(signed)
    return signed


def with_assertion(signed: str) -> dict[str, str]:
    """Return the parameters of ``private_key_jwt``."""
    return {"client_assertion_type": JWT_BEARER, "client_assertion": signed}


def send_form(
    function: str,
    path: str,
    parameters: dict[str, str],
    *,
    authorization: str | list[str] | None = None,
    **identity: str,
) -> Response:
    """Send a form to a route of OAuth, with one or several header fields ``Authorization``."""
    event = form_event(path, parameters, **identity)
    if authorization:
        fields = [authorization] if isinstance(authorization, str) else authorization
        event["headers"]["Authorization"] = fields[-1]
        event["multiValueHeaders"]["Authorization"] = fields
    return call(function, event)


def request_token(
    *,
    authorization: str | list[str] | None = None,
    client_ip: str | None = None,
    **parameters: str,
) -> Response:
    """Send ``POST /token`` with the grant of clients."""
    parameters = {"grant_type": "client_credentials", **parameters}
    identity = {"sourceIp": client_ip} if client_ip else {}
    return send_form("token", "/token", parameters, authorization=authorization, **identity)
