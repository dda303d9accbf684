"""Forged access tokens, built from bytes with ``cryptography``, because a JWT library refuses to make most of them."""

import base64
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import strategies as st

from auth_common.keys.signing_key import signing_key
from auth_common.settings import LOCAL_ISSUER
from auth_common.tokens.access_tokens import issue_access_token

USER_ID = UUID("2a9d7f3e-6b1c-4c58-9d3a-0e4f5a6b7c8d")
SESSION_ID = UUID("7c1e5b2a-3d4f-4a6b-8c9d-1e2f3a4b5c6d")
TOKEN_ID = UUID("5f0c9b8a-7d6e-4f5a-8b4c-3d2e1f0a9b8c")


class _Absent(Enum):
    ABSENT = "absent"


#: The value of a header parameter or claim that is left out. An enum, because pytest puts its text into test ids, which
#: must be the same in each process.
ABSENT = _Absent.ABSENT

Part = Mapping[str, Any] | bytes

#: Generated values for a claim.
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@dataclass(frozen=True, slots=True)
class Verifier:
    """A function that verifies tokens, and the error that it raises if a token is not valid."""

    verify: Callable[[str], Any]
    error: type[Exception]

    def rejects(self, token: str) -> bool:
        """Return whether ``token`` is rejected. Other errors than the expected one are raised."""
        try:
            self.verify(token)
        except self.error:
            return True
        return False

    def accepted_names(self, tokens: Mapping[Any, str]) -> list[Any]:
        """Return the names of the tokens that are accepted."""
        return [name for name, token in tokens.items() if not self.rejects(token)]


def base64url(octets: bytes) -> str:
    """Return ``octets`` as base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def raw_signature(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """Return an ES256 signature: r and s, 32 bytes each (RFC 7518 section 3.4)."""
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(SHA256())))
    size = (key.key_size + 7) // 8
    return r.to_bytes(size) + s.to_bytes(size)


@dataclass(frozen=True, slots=True)
class Forger:
    """A maker of tokens that differ from the service's own tokens only by the changes of a test."""

    key: ec.EllipticCurvePrivateKey
    kid: str
    audience: str = "secure-backend-users"

    def header(self, **changes: Any) -> dict[str, Any]:
        """Return the header of a valid token, with ``changes``."""
        return _present({"alg": "ES256", "typ": "at+jwt", "kid": self.kid, **changes})

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a valid token, with ``changes``."""
        now = int(time.time())
        return _present(
            {
                "iss": LOCAL_ISSUER,
                "aud": self.audience,
                "sub": str(USER_ID),
                "client_id": "first-party",
                "scope": "user",
                "role": "user",
                "iat": now,
                "nbf": now,
                "exp": now + 900,
                "jti": str(TOKEN_ID),
                "sid": str(SESSION_ID),
                "tv": 0,
                "amr": ["pwd"],
                "auth_time": now,
                **changes,
            }
        )

    def signing_input(self, header: Part | None = None, claims: Part | None = None) -> str:
        """Return the text that is signed: the encoded header, a dot and the encoded claims (RFC 7515 section 5.1)."""
        parts = (self.header() if header is None else header, self.claims() if claims is None else claims)
        return ".".join(base64url(_serialise(part)) for part in parts)

    def token(self, header: Part | None = None, claims: Part | None = None) -> str:
        """Return a token with a valid signature of the real key, so that only its content can be invalid."""
        signing_input = self.signing_input(header, claims)
        return f"{signing_input}.{base64url(raw_signature(self.key, signing_input.encode()))}"


def hmac_with_public_key(forger: Forger, claims: Part | None = None) -> str:
    """Return a token whose signature is an HMAC with the public key, which every attacker knows (CVE-2016-5431)."""
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    signing_input = forger.signing_input(forger.header(alg="HS256"), claims)
    mac = hmac.digest(forger.key.public_key().public_bytes(*form), signing_input.encode(), "sha256")
    return f"{signing_input}.{base64url(mac)}"


def issue_genuine_token() -> str:
    """Return a genuine access token, signed with the current signing key."""
    now = int(time.time())
    return issue_access_token(
        user_id=USER_ID, role="user", session_id=SESSION_ID, token_version=0, amr=("pwd",), auth_time=now, now=now
    )


def forger_with_stolen_key() -> Forger:
    """Return a forger that has stolen the private signing key of this environment."""
    stolen = signing_key()
    assert isinstance(stolen.private_key, ec.EllipticCurvePrivateKey)
    return Forger(stolen.private_key, stolen.kid)


def _present(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not ABSENT}


def _serialise(part: Part) -> bytes:
    return part if isinstance(part, bytes) else json.dumps(part).encode()
