"""Verify passkey responses as the relying party of WebAuthn Level 3. Only this module imports ``webauthn``.

The library (py_webauthn) makes the options, parses CBOR and keys, and verifies signatures. This module implements the
steps of sections 7.1 and 7.2. The library's functions for these steps reject members that Level 3 reserves or that a
client may choose (``tokenBinding``, ``authenticatorAttachment``). They also parse client data less strictly than this
service parses JSON. ``passkeys.assertions`` compares the counter and backup flags with the stored record.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import webauthn
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    options_to_json_dict,
    parse_authenticator_data,
    parse_backup_flags,
    parse_cbor,
    verify_signature,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.parse_attestation_statement import parse_attestation_statement
from webauthn.helpers.structs import (
    AttestationFormat,
    AuthenticatorData,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.formats.packed import verify_packed

from auth_common.errors import ServiceError
from auth_common.plain_cbor import is_plain_cbor
from auth_common.settings import settings
from auth_common.strict_json import parse_strict_json

#: The signature algorithms that are offered to authenticators, most preferred first.
ALGORITHMS: Final = [
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.ECDSA_SHA_512,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
#: The only key type or curve that each algorithm may sign with (WebAuthn section 5.8.5).
_KEY_TYPES: Final[Mapping[COSEAlgorithmIdentifier, type]] = {
    COSEAlgorithmIdentifier.EDDSA: ed25519.Ed25519PublicKey,
    COSEAlgorithmIdentifier.ECDSA_SHA_256: ec.SECP256R1,
    COSEAlgorithmIdentifier.ECDSA_SHA_512: ec.SECP521R1,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256: rsa.RSAPublicKey,
}
#: The time that the browser gives the user for a ceremony (WebAuthn section 15.1 recommends 5 to 10 minutes).
CEREMONY_TIMEOUT: Final = timedelta(minutes=5)
#: WebAuthn section 4, Credential ID.
_MAX_CREDENTIAL_ID_BYTES: Final = 1023
#: A COSE_Key with an RSA key of 4096 bits has about 1,100 bytes.
_MAX_PUBLIC_KEY_BYTES: Final = 2048
#: Authenticator data (section 6.1): the length of its fixed part, which ends before the attested credential data.
_FIXED_BYTES: Final = 37
#: The offset of the byte with the flags.
_FLAGS_OFFSET: Final = 32
#: The flag AT in this byte.
_ATTESTED_CREDENTIAL_DATA_FLAG: Final = 0x40
#: The minimum has 112 bits of security strength (NIST SP 800-57). The maximum fits into the table.
_RSA_BITS: Final = range(2048, 4097)
#: The hints (section 5.8.7), most preferred first: this device, then a phone, then a security key.
_HINTS: Final = ("client-device", "hybrid", "security-key")
#: The hint that leads the browser to a passkey with this transport (sections 5.8.4 and 5.8.7).
_HINT_OF_TRANSPORT: Final = {
    "internal": "client-device",
    "hybrid": "hybrid",
    **dict.fromkeys(("usb", "nfc", "ble", "smart-card"), "security-key"),
}
_KNOWN_TRANSPORTS: Final = {transport.value for transport in AuthenticatorTransport}
#: The byte order mark of UTF-8, which section 7.1, step 5 removes.
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
#: The start of an Ed25519 COSE_Key from Firefox 117 and 118, after the initial byte of the CBOR map. Both wrote the
#: texts "OKP" and "Ed25519" instead of the numbers 1 and 6 (RFC 9053). Firefox 117 also declared 3 members, not 4.
_FIREFOX_KEY_START: Final = bytes.fromhex("01634f4b500327206745643235353139")
#: The same start as RFC 9053 defines it.
_COSE_KEY_START: Final = bytes.fromhex("01010327 2006")


class InvalidPasskeyResponse(Exception):
    """The response of the authenticator or the browser breaks a rule of WebAuthn. The text is for the log."""


@contextmanager
def _reject_on_any_error() -> Iterator[None]:
    """Raise ``InvalidPasskeyResponse`` instead of any exception except a ``ServiceError``.

    The parsers of CBOR, ASN.1 and keys raise dozens of types for bad input from a client.
    """
    try:
        yield
    except (InvalidPasskeyResponse, ServiceError):
        raise
    except Exception as error:
        raise InvalidPasskeyResponse(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredPasskey:
    """A verified new credential."""

    credential_id: bytes
    #: A COSE_Key (RFC 9052).
    public_key: bytes
    sign_count: int
    aaguid: UUID
    user_verified: bool
    backup_eligible: bool
    backed_up: bool
    #: The names that the client sent. Transports that Level 3 defines come first.
    transports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyAssertion:
    """A verified assertion. Its counter and backup flags are not yet compared with the stored record."""

    sign_count: int
    backup_eligible: bool
    backed_up: bool
    user_verified: bool


def registration_options(
    *, challenge: bytes, user_handle: bytes, email: str, name: str, registered: Iterable[tuple[bytes, Iterable[str]]]
) -> dict[str, Any]:
    """Return the PublicKeyCredentialCreationOptionsJSON for a new passkey.

    Args:
        challenge: 32 random bytes.
        user_handle: the id that the authenticator stores and returns at a login. It must contain no personal data
            (section 14.6.1).
        email: shown to the user when they choose an account.
        name: shown together with ``email``.
        registered: credential id and transports of the user's passkeys. Their authenticators cannot be registered
            again.

    """
    options = webauthn.generate_registration_options(
        rp_id=settings().webauthn_rp_id,
        rp_name=settings().webauthn_rp_name,
        user_id=user_handle,
        user_name=email,
        user_display_name=name,
        challenge=challenge,
        timeout=CEREMONY_TIMEOUT // timedelta(milliseconds=1),
        authenticator_selection=AuthenticatorSelectionCriteria(
            # A discoverable passkey can log in without e-mail address and password.
            resident_key=ResidentKeyRequirement.PREFERRED,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
        supported_pub_key_algs=ALGORITHMS,
    )
    excluded = [_descriptor(*credential) for credential in registered]
    # The library knows no hints.
    return {**options_to_json_dict(options), "excludeCredentials": excluded, "hints": list(_HINTS)}


def authentication_options(
    *, challenge: bytes, allowed: Iterable[tuple[bytes, Iterable[str]]], require_user_verification: bool
) -> dict[str, Any]:
    """Return the PublicKeyCredentialRequestOptionsJSON for a login or a step-up.

    Args:
        challenge: 32 random bytes.
        allowed: credential id and transports of the accepted passkeys. If empty, the user may choose any discoverable
            passkey of this relying party.
        require_user_verification: whether the authenticator must check a PIN or a biometric. With user verification, a
            passkey alone is two factors.

    """
    required = UserVerificationRequirement.REQUIRED
    passkeys = [(credential_id, tuple(transports)) for credential_id, transports in allowed]
    options = webauthn.generate_authentication_options(
        rp_id=settings().webauthn_rp_id,
        challenge=challenge,
        timeout=CEREMONY_TIMEOUT // timedelta(milliseconds=1),
        user_verification=required if require_user_verification else UserVerificationRequirement.PREFERRED,
    )
    descriptors = [_descriptor(*passkey) for passkey in passkeys]
    hints = _hints([transports for _, transports in passkeys])
    return {**options_to_json_dict(options), "allowCredentials": descriptors, "hints": hints}


@_reject_on_any_error()
def verify_registration(credential: Mapping[str, Any], *, expected_challenge: bytes) -> RegisteredPasskey:
    """Verify a RegistrationResponseJSON (WebAuthn section 7.1).

    Args:
        credential: the untrusted JSON object that the client sent.
        expected_challenge: the challenge in the options of this ceremony.

    Raises:
        InvalidPasskeyResponse: the credential breaks any rule.

    """
    response = credential["response"]
    credential_id = _credential_id(credential)
    client_data = _check_client_data(response, ceremony="webauthn.create", expected_challenge=expected_challenge)
    attestation_object = _decode_base64url(response["attestationObject"])
    _require_plain_cbor(attestation_object)
    attestation = parse_cbor(attestation_object)
    found = _check_authenticator_data(_correct_firefox_key(attestation["authData"]))
    created = found.attested_credential_data
    if created is None:
        raise InvalidPasskeyResponse("no attested credential data")
    public_key = created.credential_public_key
    _require_usable_key(public_key)
    if len(public_key) > _MAX_PUBLIC_KEY_BYTES or not 0 < len(created.credential_id) <= _MAX_CREDENTIAL_ID_BYTES:
        raise InvalidPasskeyResponse("length of the public key or the credential id")
    if created.credential_id != credential_id:
        raise InvalidPasskeyResponse("credential id differs from the attested one")
    _check_attestation(attestation, attestation_object, client_data, public_key)
    return RegisteredPasskey(
        credential_id=credential_id,
        public_key=public_key,
        sign_count=found.sign_count,
        aaguid=UUID(bytes=created.aaguid),
        user_verified=found.flags.uv,
        backup_eligible=found.flags.be,
        backed_up=found.flags.bs,
        transports=_sort_known_first(response.get("transports") or ()),
    )


@_reject_on_any_error()
def read_claimed_identity(credential: Mapping[str, Any]) -> tuple[bytes, bytes | None]:
    """Return the credential id and the user handle that an AuthenticationResponseJSON claims. Neither is verified.

    The user handle is None if the response has none.

    Raises:
        InvalidPasskeyResponse: the credential is not an AuthenticationResponseJSON.

    """
    user_handle = credential["response"].get("userHandle")
    # Some clients send null or an empty text instead of leaving the user handle out.
    return _decode_base64url(credential["id"]), None if user_handle is None else _decode_base64url(user_handle) or None


@_reject_on_any_error()
def verify_authentication(
    credential: Mapping[str, Any],
    *,
    expected_challenge: bytes,
    public_key: bytes,
    require_user_verification: bool,
) -> PasskeyAssertion:
    """Verify an AuthenticationResponseJSON (WebAuthn section 7.2) except for its counter and backup eligibility.

    Args:
        credential: the untrusted JSON object that the client sent.
        expected_challenge: the challenge in the options of this ceremony.
        public_key: the COSE_Key in the stored passkey.
        require_user_verification: whether to reject a response if the authenticator did not check a PIN or a biometric.

    Raises:
        InvalidPasskeyResponse: the credential breaks any rule.

    """
    response = credential["response"]
    _credential_id(credential)
    client_data = _check_client_data(response, ceremony="webauthn.get", expected_challenge=expected_challenge)
    authenticator_data = _decode_base64url(response["authenticatorData"])
    found = _check_authenticator_data(authenticator_data)
    if require_user_verification and not found.flags.uv:
        raise InvalidPasskeyResponse("user not verified")
    key = decode_credential_public_key(public_key)
    verify_signature(
        public_key=decoded_public_key_to_cryptography(key),
        signature_alg=key.alg,
        signature=_decode_base64url(response["signature"]),
        data=authenticator_data + hashlib.sha256(client_data).digest(),
    )
    return PasskeyAssertion(
        sign_count=found.sign_count,
        backup_eligible=found.flags.be,
        backed_up=found.flags.bs,
        user_verified=found.flags.uv,
    )


def _decode_base64url(text: object) -> bytes:
    """Return the bytes in a base64url text, with or without padding."""
    if not isinstance(text, str):
        raise InvalidPasskeyResponse("a member is not base64url")
    return base64url_to_bytes(text)


def _credential_id(credential: Mapping[str, Any]) -> bytes:
    """Return the credential id, which must be the same in ``id`` and ``rawId`` (PublicKeyCredentialJSON, section 5.1).

    Other members are ignored: Level 3 treats an unknown ``authenticatorAttachment`` as null, and a relying party may
    ignore extension outputs.
    """
    credential_id = _decode_base64url(credential["id"])
    if credential["type"] != "public-key" or _decode_base64url(credential["rawId"]) != credential_id:
        raise InvalidPasskeyResponse("type is not public-key, or rawId differs from id")
    return credential_id


def _check_client_data(response: Mapping[str, Any], *, ceremony: str, expected_challenge: bytes) -> bytes:
    """Verify the client data (section 7.1, steps 5 to 11, and section 7.2, steps 8 to 14). Return it for hashing."""
    client_data = _decode_base64url(response["clientDataJSON"])
    # Two JSON parsers can read different values from a repeated name, from UTF-16 or from a lone surrogate.
    collected = parse_strict_json(client_data.removeprefix(_BYTE_ORDER_MARK))
    if collected["type"] != ceremony:
        raise InvalidPasskeyResponse("client data of another ceremony")
    # No secret: the client knows the challenge.
    if _decode_base64url(collected["challenge"]) != expected_challenge:
        raise InvalidPasskeyResponse("another challenge")
    if collected["origin"] not in settings().webauthn_origins:
        raise InvalidPasskeyResponse("origin is not one of WEBAUTHN_ORIGINS")
    _reject_foreign_frames(collected)
    return client_data


def _reject_foreign_frames(collected: Mapping[str, Any]) -> None:
    """Reject a ceremony in a frame of another site. This service needs no such frames, and clickjacking uses them."""
    if collected.get("crossOrigin") or collected.get("topOrigin") not in {None, collected["origin"]}:
        raise InvalidPasskeyResponse("ceremony in a frame of another origin")


def _check_authenticator_data(octets: bytes) -> AuthenticatorData:
    """Verify domain, user presence and backup flags, and return the parsed authenticator data.

    These are steps 14, 15 and 17 of section 7.1, and steps 15, 16 and 18 of section 7.2.
    """
    _require_plain_authenticator_data(octets)
    found = parse_authenticator_data(octets)
    # No secret: the value is the hash of a public domain.
    if found.rp_id_hash != hashlib.sha256(settings().webauthn_rp_id.encode()).digest():
        raise InvalidPasskeyResponse("passkey of another relying party")
    if not found.flags.up:
        raise InvalidPasskeyResponse("user not present")
    parse_backup_flags(found.flags)
    return found


def _check_attestation(
    attestation: Mapping[str, Any], attestation_object: bytes, client_data: bytes, public_key: bytes
) -> None:
    """Verify the attestation statement (section 7.1, steps 21 and 22) of the two formats that are accepted."""
    statement = parse_attestation_statement(attestation.get("attStmt", {}))
    if attestation["fmt"] == AttestationFormat.NONE:
        if any(member is not None for member in asdict(statement).values()):
            raise InvalidPasskeyResponse("attestation statement with the format none")
    elif attestation["fmt"] == AttestationFormat.PACKED:
        verify_packed(
            attestation_statement=statement,
            attestation_object=attestation_object,
            client_data_json=client_data,
            credential_public_key=public_key,
            pem_root_certs_bytes=[],
        )
    else:
        raise InvalidPasskeyResponse("attestation format is not none or packed")


def _correct_firefox_key(authenticator_data: bytes) -> bytes:
    """Return authenticator data in which a public key from Firefox 117 or 118 is a correct COSE_Key."""
    start = _start_of_key(authenticator_data) + 1
    end = start + len(_FIREFOX_KEY_START)
    if authenticator_data[start:end] != _FIREFOX_KEY_START:
        return authenticator_data
    return authenticator_data[: start - 1] + b"\xa4" + _COSE_KEY_START + authenticator_data[end:]


def _sort_known_first(transports: Iterable[str]) -> tuple[str, ...]:
    """Return distinct transports. Those that Level 3 defines come first, because the column may not hold all others."""
    return tuple(sorted(set(transports), key=lambda transport: (transport not in _KNOWN_TRANSPORTS, transport)))


def _require_usable_key(public_key: bytes) -> None:
    """Reject a public key that could never verify a login, or that does not fit its algorithm.

    Without an attestation, no signature of a registration proves that the key can be used. The library compares the
    algorithm with the offered ones only, so a P-384 key may claim to be ES256.
    """
    decoded = decode_credential_public_key(public_key)
    key = decoded_public_key_to_cryptography(decoded)
    if not isinstance(key.curve if isinstance(key, ec.EllipticCurvePublicKey) else key, _KEY_TYPES[decoded.alg]):
        raise InvalidPasskeyResponse("the algorithm needs a key of another type or curve")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size not in _RSA_BITS:
        raise InvalidPasskeyResponse("RSA key too short or too long")


def _require_plain_authenticator_data(octets: bytes) -> None:
    """Require plain CBOR in the public key and the extensions of authenticator data, if present (section 6.1)."""
    has_key = octets[_FLAGS_OFFSET] & _ATTESTED_CREDENTIAL_DATA_FLAG
    _require_plain_cbor(octets[_start_of_key(octets) if has_key else _FIXED_BYTES :])


def _start_of_key(octets: bytes) -> int:
    """Return the offset of the public key, after AAGUID, length of the credential id, and id (section 6.5.1)."""
    return _FIXED_BYTES + 18 + int.from_bytes(octets[_FIXED_BYTES + 16 : _FIXED_BYTES + 18])


def _require_plain_cbor(octets: bytes) -> None:
    if not is_plain_cbor(octets):
        raise InvalidPasskeyResponse("not plain CBOR: a tag, an indefinite length, too deep, or malformed")


def _hints(transports_of_passkeys: Iterable[Iterable[str]]) -> list[str]:
    """Return the hints for passkeys with these transports.

    Return none if a passkey has no known transport, because the hints would lead the browser away from it.
    """
    found = [
        {_HINT_OF_TRANSPORT[name] for name in transports if name in _HINT_OF_TRANSPORT}
        for transports in transports_of_passkeys
    ]
    return [hint for hint in _HINTS if hint in set().union(*found)] if all(found) else []


def _descriptor(credential_id: bytes, transports: Iterable[str]) -> dict[str, Any]:
    """Return a PublicKeyCredentialDescriptorJSON. The library's class cannot contain an unknown transport."""
    hints = list(transports)
    return {
        "id": bytes_to_base64url(credential_id),
        "type": "public-key",
        **({"transports": hints} if hints else {}),
    }
