"""Column types and foreign keys that must mean the same on every database."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Column, MetaData, Table, insert, select
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.schema import CreateTable

from auth_common.database.tables import UtcDateTime, users
from auth_common.transactions import transaction
from tests.support.factories import sign_up

pytestmark = pytest.mark.database

times = Table("times", MetaData(), Column("at", UtcDateTime))


@pytest.fixture
def stored(database):
    database.execute(CreateTable(times))

    def store_and_read(value):
        database.execute(times.delete())
        database.execute(insert(times).values(at=value))
        return database.execute(select(times.c.at))[0][0]

    return store_and_read


@pytest.mark.asvs("16.2.2")
def test_time_is_read_in_utc_and_needs_a_time_zone(stored):
    """The meaning of a time without a time zone is unknown."""
    time = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    for hours in (0, 2, -11):
        read = stored(time.astimezone(timezone(timedelta(hours=hours))))
        assert (read, read.tzinfo) == (time, UTC)
    assert stored(None) is None
    with pytest.raises(StatementError, match="a time needs a time zone"):
        stored(datetime(2026, 1, 2))  # noqa: DTZ001 - the fault under test


def test_session_without_a_user_is_rejected_by_the_database(database):
    sign_up()
    with pytest.raises(IntegrityError):
        transaction(lambda connection: connection.execute(users.delete()))
