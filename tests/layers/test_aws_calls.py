"""Calls to AWS go to the region of their ARN or endpoint, whatever the region of the operator's machine is."""

import boto3
import pytest

from auth_common.aws_calls import call_aws
from auth_common.keys.shared_secrets import pepper
from auth_common.keys.signing_key import signing_key
from tests.support.databases import start_fresh_environment

pytestmark = [pytest.mark.keys, pytest.mark.usefixtures("deployed_settings", "aws", "region_of_the_machine")]

#: The region of the stack.
STACK = "eu-west-1"
SECRET = "a" * 64


@pytest.fixture(params=[None, "us-east-1"], ids=["no region", "another region"])
def region_of_the_machine(request, monkeypatch):
    monkeypatch.delenv("AWS_REGION", raising=False)
    if request.param is None:
        monkeypatch.delenv("AWS_DEFAULT_REGION")
    else:
        monkeypatch.setenv("AWS_DEFAULT_REGION", request.param)
    start_fresh_environment()


def test_secret_is_read_from_the_region_in_its_arn(monkeypatch):
    made = boto3.client("secretsmanager", region_name=STACK).create_secret(Name="pepper", SecretString=SECRET)
    monkeypatch.setenv("PEPPER_SECRET_ARN", made["ARN"])
    assert pepper() == SECRET.encode()


def test_key_signs_in_the_region_in_its_arn(monkeypatch):
    made = boto3.client("kms", region_name=STACK).create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    monkeypatch.setenv("SIGNING_KEY_ARN", made["KeyMetadata"]["Arn"])
    assert signing_key().private_key.public_key().curve.name == "secp256r1"


def test_token_for_a_cluster_is_for_the_region_in_its_endpoint():
    token = call_aws("dsql", "generate_db_connect_admin_auth_token", Hostname=f"cluster.dsql.{STACK}.on.aws")
    assert f"%2F{STACK}%2Fdsql%2F" in token
