"""The salts of users: made once, used only by the transaction that has read them, and gone after an erasure."""

from uuid import UUID

import pytest
from sqlalchemy import delete, select

from auth_common.audit_log.salt_store import delete_salts, make_salt
from auth_common.database.tables import audit_events, audit_salts
from auth_common.transactions import transaction
from auth_common.users.store import lock_user_and_passkeys
from tests.support.factories import erase, log_in, sign_up
from tests.support.outages import on_each_statement

pytestmark = [pytest.mark.audit, pytest.mark.database]


@pytest.fixture
def user_id(database):
    return UUID(sign_up().id)


def stored_salts(database):
    return [row.salt for row in database.execute(select(audit_salts.c.salt))]


@pytest.mark.aurora_dsql
def test_user_without_a_salt_gets_one_with_the_next_record(database, user_id):
    """Accounts of old versions have no salt before their first record."""
    database.execute(delete(audit_salts))
    assert log_in().status == 200
    (salt,) = stored_salts(database)
    assert log_in().status == 200
    assert stored_salts(database) == [salt]
    sources = select(audit_events.c.source).where(audit_events.c.user_id == user_id)
    assert None not in {row.source for row in database.execute(sources)}


@pytest.mark.aurora_dsql
def test_transaction_that_has_locked_the_user_reads_the_salt_once(database, user_id):
    statements: list[str] = []

    def use(connection):
        lock_user_and_passkeys(connection, user_id=user_id)
        with on_each_statement(lambda statement, _: statements.append(statement)):
            return make_salt(connection, user_id=user_id)

    assert [transaction(use)] == stored_salts(database)
    assert statements == []


@pytest.mark.asvs("14.2.7")
def test_salt_is_forgotten_by_the_transaction_that_deletes_it(database, user_id):
    (old,) = stored_salts(database)

    def replace(connection):
        lock_user_and_passkeys(connection, user_id=user_id)
        delete_salts(connection, user_ids=[user_id])
        return make_salt(connection, user_id=user_id)

    new = transaction(replace)
    assert [new] == stored_salts(database)
    assert new != old


@pytest.mark.aurora_dsql
@pytest.mark.asvs("14.2.7")
def test_salt_is_not_used_after_the_transaction_that_has_read_it(database, user_id):
    transaction(lambda connection: lock_user_and_passkeys(connection, user_id=user_id))
    erase("person@example.com")
    assert transaction(lambda connection: make_salt(connection, user_id=user_id)) is None
    assert stored_salts(database) == []
