"""A software authenticator: the browser's and the authenticator's part of WebAuthn Level 3, with real keys.

It is for scripts and tests only. It does not ask the user for a touch or a PIN, and does not protect the keys. Section
numbers are those of WebAuthn Level 3.
"""

import hashlib
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any, Final, TypeAlias
from uuid import UUID

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

#: Identifies the model of this authenticator.
AAGUID: Final = UUID("5ec0bac4-e2d0-4a57-8f6e-0a1b2c3d4e5f")


class Algorithm(IntEnum):
    """COSE algorithm identifiers (RFC 9053, RFC 8812)."""

    ES256 = -7
    EDDSA = -8
    RS256 = -257


class Flags(IntFlag):
    """The flags of authenticator data (WebAuthn section 6.1)."""

    USER_PRESENT = 0x01
    USER_VERIFIED = 0x04
    BACKUP_ELIGIBLE = 0x08
    BACKED_UP = 0x10
    ATTESTED_CREDENTIAL_DATA = 0x40
    EXTENSION_DATA = 0x80


class NoCredential(Exception):
    """The authenticator has no credential that the options allow, or has one that they exclude."""


@dataclass(kw_only=True)
class Credential:
    """A key pair, with the relying party and the user that it belongs to."""

    id: bytes
    rp_id: str
    user_handle: bytes
    key: PrivateKey
    sign_count: int = 0


@dataclass(kw_only=True)
class SoftwareAuthenticator:
    """Creates credentials for the options of ``navigator.credentials.create()`` and ``get()``.

    Real authenticators differ in the fields. A test changes a field to check that the service rejects the credential.
    """

    #: The origin of the page. The two fields after it describe a page in a frame of another site.
    origin: str
    cross_origin: bool = False
    top_origin: str | None = None
    user_present: bool = True
    user_verified: bool = True
    backup_eligible: bool = False
    backed_up: bool = False
    #: Whether the authenticator increments the signature counter.
    counts: bool = True
    algorithms: tuple[Algorithm, ...] = (Algorithm.ES256, Algorithm.EDDSA, Algorithm.RS256)
    #: The attestation format: ``none``, or ``packed`` with the credential's own key (self attestation).
    attestation: str = "none"
    credentials: list[Credential] = field(default_factory=list)

    def register(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Create a key pair and return the RegistrationResponseJSON.

        Args:
            options: a PublicKeyCredentialCreationOptionsJSON.

        Raises:
            NoCredential: the options exclude a credential of this authenticator, or name only unknown algorithms.

        """
        rp_id = options["rp"]["id"]
        if self._find(rp_id, options.get("excludeCredentials", ())):
            raise NoCredential("this authenticator is registered already")
        wanted = [parameters["alg"] for parameters in options["pubKeyCredParams"]]
        algorithm = next((known for known in self.algorithms if known in wanted), None)
        if algorithm is None:
            raise NoCredential("the options name no algorithm of this authenticator")
        credential = Credential(
            id=secrets.token_bytes(32),
            rp_id=rp_id,
            user_handle=from_base64url(options["user"]["id"]),
            key=new_key(algorithm),
        )
        self.credentials.append(credential)
        client_data = self.client_data("webauthn.create", options["challenge"])
        attested = AAGUID.bytes + len(credential.id).to_bytes(2) + credential.id + cose_key(credential.key)
        data = self.authenticator_data(credential, Flags.ATTESTED_CREDENTIAL_DATA) + attested
        return self._response(
            credential,
            {
                "clientDataJSON": to_base64url(client_data),
                "attestationObject": to_base64url(self.attestation_object(credential, data, client_data)),
                "transports": ["internal"],
            },
        )

    def authenticate(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Sign a challenge and return the AuthenticationResponseJSON.

        Args:
            options: a PublicKeyCredentialRequestOptionsJSON.

        Raises:
            NoCredential: the authenticator has no credential that the options allow.

        """
        allowed = options.get("allowCredentials") or None
        found = self._find(options["rpId"], allowed)
        if not found:
            raise NoCredential("this authenticator has no credential that the options allow")
        credential = found[-1]
        credential.sign_count += self.counts
        client_data = self.client_data("webauthn.get", options["challenge"])
        data = self.authenticator_data(credential)
        return self._response(
            credential,
            {
                "clientDataJSON": to_base64url(client_data),
                "authenticatorData": to_base64url(data),
                "signature": to_base64url(sign(credential.key, data + hashlib.sha256(client_data).digest())),
                # If the options name credentials, an authenticator may omit the user handle (section 6.3.3).
                "userHandle": None if allowed else to_base64url(credential.user_handle),
            },
        )

    def client_data(self, ceremony: str, challenge: str) -> bytes:
        """Return the browser's data about the ceremony: CollectedClientData as JSON (section 5.8.1)."""
        data = {"type": ceremony, "challenge": challenge, "origin": self.origin, "crossOrigin": self.cross_origin}
        if self.top_origin is not None:
            data["topOrigin"] = self.top_origin
        return json.dumps(data, separators=(",", ":")).encode()

    def authenticator_data(self, credential: Credential, *more: Flags) -> bytes:
        """Return the authenticator data without attested credential data (section 6.1)."""
        flags = (
            self.user_present * Flags.USER_PRESENT
            | self.user_verified * Flags.USER_VERIFIED
            | self.backup_eligible * Flags.BACKUP_ELIGIBLE
            | self.backed_up * Flags.BACKED_UP
            | sum(more)
        )
        rp_id_hash = hashlib.sha256(credential.rp_id.encode()).digest()
        return rp_id_hash + bytes([flags]) + credential.sign_count.to_bytes(4)

    def attestation_object(self, credential: Credential, data: bytes, client_data: bytes) -> bytes:
        """Return the attestation object (section 6.5)."""
        statement: dict[str, Any] = {}
        if self.attestation == "packed":
            signature = sign(credential.key, data + hashlib.sha256(client_data).digest())
            statement = {"alg": algorithm_of(credential.key), "sig": signature}
        return cbor2.dumps({"fmt": self.attestation, "attStmt": statement, "authData": data})

    def _find(self, rp_id: str, descriptors: Any) -> list[Credential]:
        """Return the credentials for ``rp_id`` that ``descriptors`` name, or all of them if it is None."""
        named = None if descriptors is None else {from_base64url(descriptor["id"]) for descriptor in descriptors}
        return [c for c in self.credentials if c.rp_id == rp_id and (named is None or c.id in named)]

    @staticmethod
    def _response(credential: Credential, response: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "id": to_base64url(credential.id),
            "rawId": to_base64url(credential.id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {name: value for name, value in response.items() if value is not None},
        }


def new_key(algorithm: Algorithm) -> PrivateKey:
    """Create a private key for ``algorithm``."""
    if algorithm is Algorithm.ES256:
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm is Algorithm.EDDSA:
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def algorithm_of(key: PrivateKey) -> Algorithm:
    """Return the signature algorithm of ``key``."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return Algorithm.ES256
    return Algorithm.EDDSA if isinstance(key, ed25519.Ed25519PrivateKey) else Algorithm.RS256


def sign(key: PrivateKey, message: bytes) -> bytes:
    """Return the signature of ``message`` in WebAuthn's format (section 6.5.5)."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message, ec.ECDSA(SHA256()))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    return key.sign(message, padding.PKCS1v15(), SHA256())


def cose_key(key: PrivateKey) -> bytes:
    """Return the public key of ``key`` as a COSE_Key (RFC 9052 section 7)."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        members = {1: 2, -1: 1, -2: point.x.to_bytes(32), -3: point.y.to_bytes(32)}
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        members = {1: 1, -1: 6, -2: key.public_key().public_bytes_raw()}
    else:
        public = key.public_key().public_numbers()
        members = {1: 3, -1: public.n.to_bytes(256), -2: public.e.to_bytes(3)}
    return cbor2.dumps({**members, 3: int(algorithm_of(key))}, canonical=True)


def to_base64url(octets: bytes) -> str:
    """Return ``octets`` as base64url without padding."""
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """Return the octets of ``text``, which is base64url without padding."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
