"""The audit log's cryptography by itself; what it is good for is in tests/tools/test_audit.py."""

import secrets
from typing import Any
from uuid import uuid4

import pytest

from auth_common.errors import Misconfigured
from auth_common.security.audit_protection import FIRST_PREVIOUS_MAC, chain_mac, open_personal, seal_personal
from auth_common.security.keyed_hashes import account_pseudonym, source_index
from tests.support.databases import start_fresh_environment

pytestmark = pytest.mark.audit

PLACE: dict[str, Any] = {"previous": FIRST_PREVIOUS_MAC, "chain_id": uuid4(), "sequence": 0, "record": "{}"}


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    "change", [{"previous": b"\x01" * 32}, {"chain_id": uuid4()}, {"sequence": 1}, {"sequence": -1}, {"record": "{ }"}]
)
def test_a_mac_is_of_one_record_at_one_place(change):
    assert chain_mac(**PLACE) != chain_mac(**{**PLACE, **change})


def test_another_installation_has_other_macs_and_pseudonyms(environment):
    before = chain_mac(**PLACE), source_index("203.0.113.7"), account_pseudonym("a@example.com")
    (environment / "audit-key").unlink()
    start_fresh_environment()
    after = chain_mac(**PLACE), source_index("203.0.113.7"), account_pseudonym("a@example.com")
    assert set(before).isdisjoint(after)


@pytest.mark.asvs("11.3.3")
@pytest.mark.usefixtures("environment")
def test_what_is_sealed_opens_with_its_users_salt_alone():
    user_id, salt = uuid4(), secrets.token_bytes(32)
    sealed = seal_personal({"source_ip": "203.0.113.7"}, user_id=user_id, salt=salt)
    assert open_personal(sealed, user_id=user_id, salt=salt) == {"source_ip": "203.0.113.7"}
    assert open_personal(sealed, user_id=uuid4(), salt=salt) is None
    assert open_personal(sealed, user_id=user_id, salt=secrets.token_bytes(32)) is None


@pytest.mark.asvs("11.3.4")
@pytest.mark.usefixtures("environment")
def test_two_seals_of_one_text_differ():
    """ASVS 5.0 11.3.4: with one nonce twice under one key, seals can be compared and forged."""
    user_id, salt = uuid4(), secrets.token_bytes(32)
    first, second = (seal_personal({"source_ip": "203.0.113.7"}, user_id=user_id, salt=salt) for _ in range(2))
    assert first != second


@pytest.mark.usefixtures("deployed")
def test_a_deployed_stage_refuses_to_make_a_key_of_its_own():
    with pytest.raises(Misconfigured, match="AUDIT_KEY_SECRET_ARN"):
        account_pseudonym("a@example.com")
