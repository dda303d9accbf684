"""The section ``growth``, with only a few users. No test asserts a time."""

import gc

import pytest
from sqlalchemy import create_engine, inspect, select, text
from sqlalchemy.pool import NullPool

from auth_common.database.tables import audit_events, audit_salts, refresh_tokens, sessions, users
from benchmarks.growth import measure_database
from benchmarks.population import RECORDS_PER_USER, email_of_user, id_of_user, populate
from benchmarks.service import fresh_service
from tests.support.factories import get_user, log_in

pytestmark = pytest.mark.benchmark

USER_COUNT = 12
SETTINGS = {"BCRYPT_COST": "4"}
CALLS = [
    *("`POST /login` without the hash (cost 4)", "`GET /users/{id}`", "`POST /token/refresh`"),
    "`POST /users` without the hash",
    *(f"`GET /audit/events`, {which}" for which in ("the newest", "before some day", "of one user", "failed logins")),
    "`GET /audit/events`, critical, without a match",
    "`GET /audit/events`, of a reason without a match",
    *("`GET /audit/summary` of 1,000 records", "`GET /audit/summary` of a day"),
]


def indexes(database):
    inspector = inspect(create_engine(database.url, poolclass=NullPool))
    return {index["name"] for index in inspector.get_indexes("audit_events")}


def test_each_user_of_the_population_has_the_rows_of_a_real_user(database):
    populate(database.url, user_count=USER_COUNT)
    assert database.count(users) == database.count(audit_salts) == USER_COUNT + 1
    records = database.execute(select(audit_events).where(audit_events.c.user_id == id_of_user(5)))
    assert len(records) == RECORDS_PER_USER
    names = {record.name for record in records}
    logins = {"authn_login_fail", "authn_login_success", "authn_token_created"}
    assert names == {*logins, "authz_fail", "user_created"}
    assert database.execute(select(sessions.c.id).where(sessions.c.user_id == id_of_user(5))) == [(id_of_user(5),)]
    assert len(database.execute(select(refresh_tokens).where(refresh_tokens.c.session_id == id_of_user(5)))) == 1
    assert indexes(database) >= {index.name for index in audit_events.indexes}
    if database.kind == "sqlite":
        statistics = database.execute(text("SELECT idx FROM sqlite_stat1 WHERE tbl = 'audit_events'"))
        assert {row.idx for row in statistics} == {index.name for index in audit_events.indexes}
    pair = log_in(email_of_user(USER_COUNT - 1))
    assert pair.status == 200
    user = get_user(str(id_of_user(USER_COUNT - 1)), token=pair.json["access_token"])
    assert user.json["email"] == email_of_user(USER_COUNT - 1)


@pytest.fixture
def _without_garbage():
    gc.freeze()  # each round collects garbage first, which takes long with pytest's objects
    yield
    gc.unfreeze()


def check(figures, kind):
    assert [figure.name for figure in figures] == [f"{call}, {kind}, {USER_COUNT} users" for call in CALLS]
    assert {figure.against for figure in figures} == {"5 users"}
    assert {figure.rounds for figure in figures} == {1}


@pytest.mark.usefixtures("_without_garbage")
def test_each_call_is_measured_in_each_size_on_sqlite(tmp_path):
    with fresh_service(**SETTINGS):
        urls = {size: f"sqlite+pysqlite:///{tmp_path / str(size)}" for size in (5, USER_COUNT)}
        check(measure_database("SQLite", urls, rounds=1, calls_per_round=1), "SQLite")


@pytest.mark.usefixtures("_without_garbage")
def test_each_call_is_measured_in_each_size_on_postgresql(postgres):
    with (
        postgres.new_database(migrated=True) as smaller,
        postgres.new_database(migrated=True) as larger,
        fresh_service(**SETTINGS),
    ):
        check(
            measure_database("PostgreSQL", {5: smaller, USER_COUNT: larger}, rounds=1, calls_per_round=1), "PostgreSQL"
        )
