"""Column types that must mean the same on every database."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Column, MetaData, Table, insert, select
from sqlalchemy.exc import StatementError
from sqlalchemy.schema import CreateTable

from auth_common.db.tables import UtcDateTime

pytestmark = pytest.mark.database

times = Table("times", MetaData(), Column("at", UtcDateTime))


@pytest.fixture
def stored(database):
    database.execute(CreateTable(times))

    def store_and_read(value):
        database.execute(insert(times).values(at=value))
        return database.execute(select(times.c.at))[-1][0]

    return store_and_read


@pytest.mark.asvs("16.2.2")
@pytest.mark.parametrize(
    "written",
    [
        datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        datetime(2026, 1, 2, 5, 4, 5, 678901, tzinfo=timezone(timedelta(hours=2))),
        datetime(2026, 1, 1, 16, 4, 5, 678901, tzinfo=timezone(timedelta(hours=-11))),
    ],
)
def test_a_time_comes_back_in_utc_whatever_its_zone_was(stored, written):
    read = stored(written)
    assert read == datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    assert read.tzinfo is UTC


def test_no_time_is_no_time(stored):
    assert stored(None) is None


def test_a_time_without_a_zone_is_refused(stored):
    """It could mean anything."""
    with pytest.raises(StatementError, match="a time needs a zone"):
        stored(datetime(2026, 1, 2))  # noqa: DTZ001 - the fault under test
