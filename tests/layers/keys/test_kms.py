"""Signing with KMS: the real client of boto3 calls moto's KMS, which makes real signatures."""

import io
import json
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from urllib3 import HTTPResponse

from auth_common.aws_calls import aws_client
from auth_common.errors import Misconfigured, ServiceUnavailable
from auth_common.keys.jwk import public_jwk
from auth_common.keys.signing_key import signing_key
from auth_common.tokens.access_tokens import verify_access_token
from tests.support.aws_services import REGION, redirected, returning_error
from tests.support.databases import start_fresh_environment
from tests.support.forged_tokens import USER_ID, issue_genuine_token

pytestmark = [pytest.mark.keys, pytest.mark.usefixtures("environment")]


@pytest.mark.asvs("4.2.5", "11.6.1", "13.3.1")
def test_token_signed_in_kms_verifies_with_its_public_key(key_arn, monkeypatch):
    jwk = public_jwk(signing_key().private_key.public_key())
    monkeypatch.setenv("JWKS", json.dumps({"keys": [jwk]}))
    start_fresh_environment()
    assert verify_access_token(issue_genuine_token()).user_id == USER_ID


def test_public_key_is_fetched_from_kms_once_per_environment(key_arn, kms):
    asked = []
    events = aws_client("kms", REGION).meta.events
    events.register("before-call.kms.GetPublicKey", lambda **_: asked.append("GetPublicKey"))
    issue_genuine_token()
    issue_genuine_token()
    assert asked == ["GetPublicKey"]


@pytest.mark.asvs("11.6.1")
@pytest.mark.threat("signing-key-replaced")
def test_kms_key_of_another_type_is_rejected(kms, monkeypatch):
    arn = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    monkeypatch.setenv("SIGNING_KEY_ARN", arn)
    with pytest.raises(TypeError, match="not an EC key"):
        issue_genuine_token()


@pytest.mark.asvs("13.2.6", "16.5.2")
def test_failing_kms_is_reported_as_unavailable(monkeypatch, key_arn):
    refusals = [returning_error("KMSInvalidStateException", operation=name) for name in ("Sign", "GetPublicKey")]
    for trouble in (*refusals, redirected("http://127.0.0.1:9")):
        start_fresh_environment()
        with trouble, pytest.raises(ServiceUnavailable):
            issue_genuine_token()
    monkeypatch.setenv("SIGNING_KEY_ARN", "arn:aws:kms:eu-central-1:123456789012:key/nothing")
    start_fresh_environment()
    with pytest.raises(ServiceUnavailable):
        issue_genuine_token()


@pytest.mark.asvs("15.3.2")
def test_redirect_of_kms_is_not_followed(key_arn):
    """The data to sign is sent to KMS only."""
    asked = []

    def redirect(request: Any, **_: Any) -> AWSResponse:
        asked.append(request.url)
        headers = HTTPHeaders()
        headers["Location"] = "https://evil.example/"
        return AWSResponse(request.url, 307, headers, HTTPResponse(io.BytesIO(b"{}"), preload_content=False))

    aws_client("kms", REGION).meta.events.register_first("before-send.kms.GetPublicKey", redirect)
    with pytest.raises(ServiceUnavailable):
        issue_genuine_token()
    assert set(asked) == {"https://kms.eu-central-1.amazonaws.com/"}


@pytest.mark.threat("deployment-insecure-default")
@pytest.mark.usefixtures("deployed_settings")
def test_deployed_stage_without_a_key_is_misconfigured():
    with pytest.raises(Misconfigured, match=r"^SIGNING_KEY_ARN: "):
        issue_genuine_token()
