"""The cryptography of the audit log. tests/tools/operators/test_audit.py tests the verification that uses it."""

import secrets
from typing import Any
from uuid import uuid4

import pytest

from auth_common.audit_log.protection import FIRST_PREVIOUS_MAC, chain_mac, open_personal, seal_personal
from auth_common.errors import Misconfigured
from auth_common.keys.keyed_hashes import account_pseudonym, source_index
from tests.support.databases import start_fresh_environment

pytestmark = pytest.mark.audit

PLACE: dict[str, Any] = {"previous": FIRST_PREVIOUS_MAC, "chain_id": uuid4(), "sequence": 0, "record": "{}"}


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    "change", [{"previous": b"\x01" * 32}, {"chain_id": uuid4()}, {"sequence": 1}, {"sequence": -1}, {"record": "{ }"}]
)
def test_mac_depends_on_the_record_and_its_place(change):
    assert chain_mac(**PLACE) != chain_mac(**{**PLACE, **change})


def test_another_audit_key_gives_other_macs_and_pseudonyms(environment):
    def made():
        return {chain_mac(**PLACE), source_index("203.0.113.7"), account_pseudonym("a@example.com")}

    before = made()
    (environment / "audit-key").unlink()
    start_fresh_environment()
    assert before.isdisjoint(made())


@pytest.mark.asvs("11.3.3", "11.3.4")
@pytest.mark.usefixtures("environment")
def test_sealed_data_opens_only_with_the_salt_and_id_of_its_user():
    """It also differs each time, because a nonce that is used twice lets an attacker compare and forge ciphertexts."""
    user_id, salt = uuid4(), secrets.token_bytes(32)
    sealed, again = (seal_personal({"source_ip": "203.0.113.7"}, user_id=user_id, salt=salt) for _ in range(2))
    assert sealed != again
    assert open_personal(sealed, user_id=user_id, salt=salt) == {"source_ip": "203.0.113.7"}
    assert open_personal(sealed, user_id=uuid4(), salt=salt) is None
    assert open_personal(sealed, user_id=user_id, salt=secrets.token_bytes(32)) is None


@pytest.mark.usefixtures("deployed_settings")
def test_deployed_stage_creates_no_audit_key():
    with pytest.raises(Misconfigured, match="AUDIT_KEY_SECRET_ARN"):
        account_pseudonym("a@example.com")
