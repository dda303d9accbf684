"""The public keys: from the key store on the local stage, from the environment on a deployed one."""

import json
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from auth_common.errors import Misconfigured, StorageNotMounted
from auth_common.security.jwk import public_jwk
from auth_common.services.public_keys import public_key_set

pytestmark = pytest.mark.keys


def new_jwk(**members):
    return {**public_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()), **members}


@pytest.fixture
def deploy(deployed, monkeypatch):
    """Make the environment that of a deployed stage with these keys: no storage, no access to KMS."""

    def set_jwks(*keys):
        if keys:
            monkeypatch.setenv("JWKS", json.dumps({"keys": keys}))

    return set_jwks


def test_the_local_stage_makes_its_key_for_whoever_asks_first(environment):
    """A verifier may start before anybody has logged in."""
    (jwk,) = public_key_set()["keys"]
    assert public_key_set()["keys"] == [jwk]
    assert json.loads((environment / "keys" / "jwks.json").read_text()) == {"keys": [jwk]}


@pytest.mark.usefixtures("environment")
def test_the_local_stage_without_storage_publishes_nothing(monkeypatch):
    monkeypatch.setenv("DATA_DIR", "/nowhere")
    with pytest.raises(StorageNotMounted):
        public_key_set()


def test_a_deployed_stage_publishes_the_keys_of_its_environment_and_asks_nobody(deploy):
    retiring = new_jwk(exp=int(time.time()) + 600)
    current = new_jwk()
    deploy(current, retiring)
    assert public_key_set() == {"keys": [current, retiring]}


def test_a_deployed_stage_publishes_no_key_whose_last_token_has_expired(deploy):
    current = new_jwk()
    deploy(current, new_jwk(exp=int(time.time()) - 1))
    assert public_key_set() == {"keys": [current]}


def test_a_deployed_stage_without_keys_is_misconfigured_and_does_not_speak_of_storage(deploy):
    deploy()
    with pytest.raises(Misconfigured, match="JWKS") as caught:
        public_key_set()
    assert caught.value.code == "service_unavailable"
