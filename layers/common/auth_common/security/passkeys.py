"""Passkeys: the relying party's side of WebAuthn Level 3; the one module that uses ``webauthn`` (py_webauthn).

The library parses and verifies. This module adds what the library leaves to its user: it rejects ceremonies inside
another site's frame (``crossOrigin``, ``topOrigin``) and CBOR that no authenticator sends. Whether the counter and the
backup flags of an assertion fit the stored record is decided by ``services.passkey_proofs``.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import webauthn
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from webauthn.helpers import (
    base64url_to_bytes,
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    options_to_json_dict,
    parse_cbor,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AttestationFormat,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from auth_common.errors import ServiceError
from auth_common.security.plain_cbor import is_plain_cbor
from auth_common.settings import settings
from auth_common.strict_json import parse_strict_json

#: In the order of preference.
ALGORITHMS: Final = [
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.ECDSA_SHA_512,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
#: What each of them signs with: one kind of key, and one curve (WebAuthn section 5.8.5).
_KEYS: Final[Mapping[COSEAlgorithmIdentifier, type]] = {
    COSEAlgorithmIdentifier.EDDSA: ed25519.Ed25519PublicKey,
    COSEAlgorithmIdentifier.ECDSA_SHA_256: ec.SECP256R1,
    COSEAlgorithmIdentifier.ECDSA_SHA_512: ec.SECP521R1,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256: rsa.RSAPublicKey,
}
#: No attestation is asked for; some authenticators send one by themselves in the common format.
_FORMATS: Final = frozenset({AttestationFormat.NONE, AttestationFormat.PACKED})
#: Seconds that a ceremony may take (WebAuthn section 15.1 recommends 5 to 10 minutes).
TIMEOUT: Final = 5 * 60
#: Bytes (WebAuthn section 4, Credential ID).
_LONGEST_CREDENTIAL_ID: Final = 1023
#: Bytes; an RSA key of 4096 bits has 1 100 with all that belongs to it.
_LONGEST_PUBLIC_KEY: Final = 2048
#: Authenticator data (section 6.1): bytes before its CBOR, the byte with the flags, and one of these.
_FIXED_PART: Final = 37
_FLAGS: Final = 32
_ATTESTED_CREDENTIAL_DATA: Final = 0x40
#: NIST SP 800-57: at least 112 bits of strength; and no more than the table has room for.
_RSA_BITS: Final = range(2048, 4097)
_TRANSPORTS: Final = {transport.value for transport in AuthenticatorTransport}


class InvalidPasskeyResponse(Exception):
    """What the authenticator or the browser answered breaks a rule of WebAuthn; the text says which, for the log."""


@contextmanager
def _any_fault_is_the_inputs() -> Iterator[None]:
    """CBOR, ASN.1 and keys from outside make the parsers raise dozens of kinds: they all mean the same."""
    try:
        yield
    except (InvalidPasskeyResponse, ServiceError):
        raise
    except Exception as error:
        raise InvalidPasskeyResponse(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredPasskey:
    """A new credential, verified."""

    credential_id: bytes
    #: COSE_Key.
    public_key: bytes
    sign_count: int
    aaguid: UUID
    user_verified: bool
    backup_eligible: bool
    backed_up: bool
    transports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyAssertion:
    """A verified assertion. Its counter and backup flags are not yet compared with the stored record."""

    sign_count: int
    backup_eligible: bool
    backed_up: bool
    user_verified: bool


def registration_options(
    *, challenge: bytes, user_handle: bytes, email: str, name: str, registered: Iterable[tuple[bytes, str]]
) -> dict[str, Any]:
    """Return the PublicKeyCredentialCreationOptionsJSON for a new passkey.

    Args:
        challenge: 32 random bytes.
        user_handle: what the authenticator keeps for a login without a name; nothing personal (section 14.6.1).
        email: shown when the person chooses among accounts.
        name: the same.
        registered: id and transports of the passkeys that the user has: no authenticator is registered twice.

    """
    options = webauthn.generate_registration_options(
        rp_id=settings().webauthn_rp_id,
        rp_name=settings().webauthn_rp_name,
        user_id=user_handle,
        user_name=email,
        user_display_name=name,
        challenge=challenge,
        timeout=TIMEOUT * 1000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            # Discoverable where the authenticator can: then it logs in without e-mail and password.
            resident_key=ResidentKeyRequirement.PREFERRED,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
        exclude_credentials=[_descriptor(*credential) for credential in registered],
        supported_pub_key_algs=ALGORITHMS,
    )
    return options_to_json_dict(options)


def authentication_options(
    *, challenge: bytes, allowed: Iterable[tuple[bytes, str]], require_user_verification: bool
) -> dict[str, Any]:
    """Return the PublicKeyCredentialRequestOptionsJSON for a login.

    Args:
        challenge: 32 random bytes.
        allowed: id and transports of the passkeys that count; none: any discoverable one of this relying party.
        require_user_verification: PIN or biometry, which make the passkey two factors by itself.

    """
    required = UserVerificationRequirement.REQUIRED
    options = webauthn.generate_authentication_options(
        rp_id=settings().webauthn_rp_id,
        challenge=challenge,
        timeout=TIMEOUT * 1000,
        allow_credentials=[_descriptor(*credential) for credential in allowed],
        user_verification=required if require_user_verification else UserVerificationRequirement.PREFERRED,
    )
    return options_to_json_dict(options)


@_any_fault_is_the_inputs()
def verify_registration(credential: Mapping[str, Any], *, expected_challenge: bytes) -> RegisteredPasskey:
    """Verify a RegistrationResponseJSON (WebAuthn section 7.1).

    Args:
        credential: as the browser made it; anything.
        expected_challenge: the one that the ceremony began with.

    Raises:
        InvalidPasskeyResponse: for every fault.

    """
    attestation_object = base64url_to_bytes(credential["response"]["attestationObject"])
    _require_plain_cbor(attestation_object)
    attestation = parse_cbor(attestation_object)
    _require_plain_authenticator_data(attestation["authData"])
    if attestation["fmt"] not in _FORMATS:
        # Before the library reads certificates and TPM structures that we have not asked for.
        raise InvalidPasskeyResponse("attestation format")
    found = webauthn.verify_registration_response(
        credential=dict(credential),
        expected_challenge=expected_challenge,
        expected_rp_id=settings().webauthn_rp_id,
        expected_origin=list(settings().webauthn_origins),
        supported_pub_key_algs=ALGORITHMS,
    )
    _require_usable_key(found.credential_public_key)
    if len(found.credential_public_key) > _LONGEST_PUBLIC_KEY or len(found.credential_id) > _LONGEST_CREDENTIAL_ID:
        raise InvalidPasskeyResponse("public key or credential id too long")
    if found.credential_id != base64url_to_bytes(credential["id"]):
        raise InvalidPasskeyResponse("credential id differs from the attested one")
    _refuse_frames(credential)
    transports = credential["response"].get("transports")
    return RegisteredPasskey(
        credential_id=found.credential_id,
        public_key=found.credential_public_key,
        sign_count=found.sign_count,
        aaguid=UUID(found.aaguid),
        user_verified=found.user_verified,
        backup_eligible=found.credential_device_type == CredentialDeviceType.MULTI_DEVICE,
        backed_up=found.credential_backed_up,
        transports=tuple(sorted(_TRANSPORTS.intersection(transports or ()))),
    )


@_any_fault_is_the_inputs()
def identify(credential: Mapping[str, Any]) -> tuple[bytes, bytes | None]:
    """Return whose an AuthenticationResponseJSON claims to be: credential id, and user handle where it has one.

    Raises:
        InvalidPasskeyResponse: it is no such thing.

    """
    user_handle = credential["response"].get("userHandle")
    return base64url_to_bytes(credential["id"]), base64url_to_bytes(user_handle) if user_handle else None


@_any_fault_is_the_inputs()
def verify_authentication(
    credential: Mapping[str, Any],
    *,
    expected_challenge: bytes,
    public_key: bytes,
    require_user_verification: bool,
) -> PasskeyAssertion:
    """Verify an AuthenticationResponseJSON (WebAuthn section 7.2) except for its counter and backup eligibility.

    Args:
        credential: as the browser made it; anything.
        expected_challenge: the one that the ceremony began with.
        public_key: of the credential record, COSE_Key.
        require_user_verification: refuse where the authenticator has not checked PIN or biometry.

    Raises:
        InvalidPasskeyResponse: for every fault.

    """
    _require_plain_authenticator_data(base64url_to_bytes(credential["response"]["authenticatorData"]))
    found = webauthn.verify_authentication_response(
        credential=dict(credential),
        expected_challenge=expected_challenge,
        expected_rp_id=settings().webauthn_rp_id,
        expected_origin=list(settings().webauthn_origins),
        credential_public_key=public_key,
        # Every counter advances from 0, so the library rejects none: ``services.passkey_proofs`` compares.
        credential_current_sign_count=0,
        require_user_verification=require_user_verification,
    )
    _refuse_frames(credential)
    return PasskeyAssertion(
        sign_count=found.new_sign_count,
        backup_eligible=found.credential_device_type == CredentialDeviceType.MULTI_DEVICE,
        backed_up=found.credential_backed_up,
        user_verified=found.user_verified,
    )


def _refuse_frames(credential: Mapping[str, Any]) -> None:
    """Refuse a ceremony in a frame of another site: we have no such use, and clickjacking has."""
    # Strictly: the library has read the last of a repeated name, and takes UTF-16 and lone surrogates too.
    client_data = parse_strict_json(base64url_to_bytes(credential["response"]["clientDataJSON"]))
    if client_data.get("crossOrigin") or "topOrigin" in client_data:
        raise InvalidPasskeyResponse("ceremony in a frame of another origin")


def _require_usable_key(public_key: bytes) -> None:
    """Load the key once: without an attestation nobody has, and its owner could never log in with one that is none.

    The library compares the algorithm with those offered, and not with the key: a P-384 key may call itself ES256.
    """
    decoded = decode_credential_public_key(public_key)
    key = decoded_public_key_to_cryptography(decoded)
    if not isinstance(key.curve if isinstance(key, ec.EllipticCurvePublicKey) else key, _KEYS[decoded.alg]):
        raise InvalidPasskeyResponse("key of another kind or curve than its algorithm's")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size not in _RSA_BITS:
        raise InvalidPasskeyResponse("RSA key too short or too long")


def _require_plain_authenticator_data(octets: bytes) -> None:
    """Look at the CBOR in authenticator data (section 6.1): public key and extensions, where it has them."""
    end = _FIXED_PART
    if octets[_FLAGS] & _ATTESTED_CREDENTIAL_DATA:
        # AAGUID, length of the credential id, credential id (section 6.5.1).
        end += 18 + int.from_bytes(octets[end + 16 : end + 18])
    _require_plain_cbor(octets[end:])


def _require_plain_cbor(octets: bytes) -> None:
    if not is_plain_cbor(octets):
        raise InvalidPasskeyResponse("not CBOR as authenticators send it")


def _descriptor(credential_id: bytes, transports: str) -> PublicKeyCredentialDescriptor:
    known = [AuthenticatorTransport(transport) for transport in transports.split()]
    return PublicKeyCredentialDescriptor(id=credential_id, transports=known or None)
