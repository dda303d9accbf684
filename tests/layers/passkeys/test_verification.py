"""The verification of passkeys accepts the test vectors of W3C Web Authentication Level 3, section 16."""

import json
from pathlib import Path
from typing import Any

import pytest

from auth_common.errors import ServiceError
from auth_common.passkeys.verification import (
    InvalidPasskeyResponse,
    read_claimed_identity,
    verify_authentication,
    verify_registration,
)
from tools.authenticator.software_authenticator import to_base64url

pytestmark = pytest.mark.passkeys

_FILE = Path(__file__).parents[2] / "data" / "webauthn-l3-test-vectors.json"
DOCUMENT: dict[str, Any] = json.loads(_FILE.read_text())
VECTORS = {vector["name"]: vector for vector in DOCUMENT["vectors"]}

ACCEPTED = {
    *("none-es256", "none-es256-long-credential-id"),
    *("packed-self-es256", "packed-es256", "packed-es512", "packed-rs256", "packed-eddsa"),
}
#: Valid ceremonies in a frame of another site, which this service rejects.
IN_A_FRAME = {"none-es256-crossOrigin", "none-es256-topOrigin"}
#: Formats and algorithms that the service does not request.
UNREQUESTED = {"packed-es384", "packed-ed448", "tpm-es256", "android-key-es256", "apple-es256", "fido-u2f-es256"}


@pytest.fixture(autouse=True)
def relying_party(environment, monkeypatch):
    monkeypatch.setenv("WEBAUTHN_RP_ID", DOCUMENT["rp_id"])
    monkeypatch.setenv("WEBAUTHN_ORIGINS", DOCUMENT["origin"])


def credential(vector, ceremony, *members):
    identifier = to_base64url(bytes.fromhex(vector["registration"]["credential_id"]))
    response = {member: to_base64url(bytes.fromhex(vector[ceremony][member])) for member in members}
    return {"id": identifier, "rawId": identifier, "type": "public-key", "response": response}


def register(vector):
    return verify_registration(
        credential(vector, "registration", "clientDataJSON", "attestationObject"),
        expected_challenge=bytes.fromhex(vector["registration"]["challenge"]),
    )


def authenticate(vector, registered, **changes):
    answer = credential(vector, "authentication", "clientDataJSON", "authenticatorData", "signature")
    expected: dict[str, Any] = {
        "expected_challenge": bytes.fromhex(vector["authentication"]["challenge"]),
        "public_key": registered.public_key,
        "require_user_verification": False,
    }
    return verify_authentication(answer, **(expected | changes))


@pytest.mark.parametrize("name", sorted(ACCEPTED))
def test_vector_of_the_specification_is_accepted(name):
    registered = register(VECTORS[name])
    assert registered.credential_id.hex() == VECTORS[name]["registration"]["credential_id"]
    assert registered.aaguid.hex == VECTORS[name]["registration"]["aaguid"]
    assertion = authenticate(VECTORS[name], registered)
    assert (assertion.sign_count, assertion.backup_eligible) == (0, registered.backup_eligible)
    with pytest.raises(InvalidPasskeyResponse, match="challenge"):
        authenticate(VECTORS[name], registered, expected_challenge=bytes(32))


@pytest.mark.parametrize("name", sorted(IN_A_FRAME))
def test_vector_in_a_frame_is_rejected_only_for_the_frame(name):
    with pytest.raises(InvalidPasskeyResponse, match="frame of another origin"):
        register(VECTORS[name])
    # The client data of a registration may be changed here, because without attestation it is not signed.
    registration = VECTORS[name]["registration"]
    client_data = json.loads(bytes.fromhex(registration["clientDataJSON"]))
    del client_data["crossOrigin"]
    client_data.pop("topOrigin", None)
    unframed = registration | {"clientDataJSON": json.dumps(client_data).encode().hex()}
    registered = register(VECTORS[name] | {"registration": unframed})
    with pytest.raises(InvalidPasskeyResponse, match="frame of another origin"):
        authenticate(VECTORS[name], registered)


def test_vector_of_an_unrequested_format_is_rejected():
    assert VECTORS.keys() == ACCEPTED | IN_A_FRAME | UNREQUESTED
    for name in UNREQUESTED:
        with pytest.raises(InvalidPasskeyResponse):
            register(VECTORS[name])


@pytest.mark.parametrize("bad", [{}, {"id": 7, "response": {}}, {"id": "AA"}, {"id": "AA", "response": []}])
def test_response_without_a_credential_is_rejected(bad):
    with pytest.raises(InvalidPasskeyResponse):
        read_claimed_identity(bad)


def test_wrong_setting_is_not_reported_as_invalid_passkey(monkeypatch):
    monkeypatch.setenv("WEBAUTHN_RP_ID", "127.0.0.1")
    with pytest.raises(ServiceError):
        register(VECTORS["none-es256"])
