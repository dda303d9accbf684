"""The custom resource that returns the public keys for a deployment: the real client of boto3 calls moto's KMS."""

import json

import boto3
import pytest

from auth_common.aws_calls import aws_client
from auth_common.errors import InvalidToken
from auth_common.tokens.access_tokens import verify_access_token
from functions.publish_keys.app import handler
from tests.support.aws_services import REGION, returning_error
from tests.support.custom_resources import run_custom_resource
from tests.support.databases import start_fresh_environment
from tests.support.forged_tokens import USER_ID, issue_genuine_token

pytestmark = [pytest.mark.keys, pytest.mark.operations, pytest.mark.usefixtures("environment", "aws")]


def make_key(spec="ECC_NIST_P256"):
    return boto3.client("kms").create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]


def publish(*arns, request_type="Create"):
    return run_custom_resource(handler, "publish_keys", request_type, KeyArns=list(arns))


def settle(monkeypatch, *, signing_with, verifying_with):
    """Start a new environment with the settings of a deployment."""
    monkeypatch.setenv("SIGNING_KEY_ARN", signing_with)
    monkeypatch.setenv("JWKS", verifying_with)
    start_fresh_environment()


@pytest.mark.threat("deployment-key-rotation")
def test_rotation_in_three_deployments_rejects_no_token(monkeypatch):
    blue, green = make_key(), make_key()
    first = publish(blue)["Data"]["Jwks"]
    settle(monkeypatch, signing_with=blue, verifying_with=first)
    of_blue = issue_genuine_token()

    both = publish(blue, green, request_type="Update")["Data"]["Jwks"]
    settle(monkeypatch, signing_with=blue, verifying_with=both)
    assert verify_access_token(of_blue).user_id == USER_ID

    turned = publish(green, blue, request_type="Update")["Data"]["Jwks"]
    settle(monkeypatch, signing_with=green, verifying_with=turned)
    of_green = issue_genuine_token()
    # A function that this deployment has not updated yet already has the public key of the new signing key.
    settle(monkeypatch, signing_with=blue, verifying_with=both)
    assert verify_access_token(of_green).user_id == verify_access_token(of_blue).user_id == USER_ID

    last = publish(green, request_type="Update")["Data"]["Jwks"]
    settle(monkeypatch, signing_with=green, verifying_with=last)
    assert verify_access_token(of_green).user_id == USER_ID
    with pytest.raises(InvalidToken):
        verify_access_token(of_blue)


@pytest.mark.threat("signing-key-published")
def test_only_public_keys_are_published_and_they_fit():
    jwks = publish(make_key(), make_key())["Data"]["Jwks"]
    keys = json.loads(jwks)["keys"]
    assert [key.keys() for key in keys] == [{"kty", "crv", "x", "y", "use", "alg", "kid"}] * 2
    # The environment variables of a function have at most 4 KB in total, and so has a custom resource's response.
    assert len(jwks) < 1024


def test_digest_changes_only_with_a_property():
    """A new digest makes CloudFormation publish new versions of the functions."""
    key = make_key()
    digests = [
        run_custom_resource(handler, "publish_keys", KeyArns=[key], Configuration=settings)["Data"]["Digest"]
        for settings in (["blue", "example.com"], ["blue", "example.com"], ["blue", "example.org"])
    ]
    assert digests[0] == digests[1] != digests[2]
    # The description of a function or a version has at most 256 characters.
    assert len(digests[0]) == 64


@pytest.mark.threat("signing-key-replaced")
def test_key_of_another_type_fails_the_deployment(log_lines):
    response = publish(make_key("RSA_2048"))
    assert (response["Status"], "Data" in response) == ("FAILED", False)
    assert response["Reason"].startswith("See the log stream ")
    assert "not an EC key" in log_lines.text


def test_nonexistent_key_fails_the_deployment():
    response = publish("arn:aws:kms:eu-central-1:123456789012:key/nothing")
    assert response["Status"] == "FAILED"
    assert "arn:" not in response["Reason"]


def test_role_that_iam_does_not_know_yet_is_retried():
    arn = make_key()
    with returning_error("AccessDeniedException", operation="GetPublicKey", times=1):
        assert publish(arn)["Status"] == "SUCCESS"


def test_deleted_stack_makes_no_call_of_kms():
    asked = []
    aws_client("kms", REGION).meta.events.register(
        "before-call.kms.GetPublicKey", lambda **_: asked.append("GetPublicKey")
    )
    assert publish(make_key(), request_type="Delete")["Status"] == "SUCCESS"
    assert asked == []
