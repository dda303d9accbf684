"""GET /health: 200 if the service can do its work."""

import pytest
from sqlalchemy import text

from auth_common.database.migrations import HEAD
from auth_common.database.privileges import HEALTH_ROLE
from tests.support import leaks
from tests.support.databases import Database, acting_as, start_fresh_environment
from tests.support.events import proxy_event
from tests.support.factories import get_health
from tests.support.functions import call

pytestmark = [pytest.mark.operations, pytest.mark.aurora_dsql]


@pytest.mark.usefixtures("database")
def test_health_with_its_own_privileges_returns_200():
    with acting_as(HEALTH_ROLE):
        answer = get_health()
    assert (answer.status, answer.json) == (200, {"status": "ok"})
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.usefixtures("environment")
def test_fresh_installation_is_healthy():
    assert get_health().status == 200


@pytest.mark.usefixtures("deployed_settings")
def test_deployed_database_with_an_old_schema_is_unhealthy(monkeypatch, postgres):
    """A newer schema is healthy, because it contains everything that this version needs."""
    outcomes = {}
    for revision in (None, "0001", HEAD, "9999"):
        with postgres.new_database(migrated=revision is not None) as url:
            if revision:
                change = text("UPDATE alembic_version SET version_num = :it").bindparams(it=revision)
                Database("postgresql", url).execute(change)
            monkeypatch.setenv("DATABASE_URL", url)
            start_fresh_environment()
            answer = get_health()
            outcomes[revision] = (answer.status, answer.json.get("code"), answer.headers.get("retry-after"))
    rejected = (503, "service_unavailable", "5")
    assert outcomes == {None: rejected, "0001": rejected, HEAD: (200, None, None), "9999": (200, None, None)}


@pytest.mark.asvs("16.5.1")
@pytest.mark.usefixtures("environment")
def test_unavailable_database_is_unhealthy_and_hides_its_password(monkeypatch):
    leaks.remember("hunter2hunter2")
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://service:hunter2hunter2@127.0.0.1:9/service")
    answer = get_health()
    assert (answer.status, answer.code) == (503, "service_unavailable")
    assert "hunter2" not in answer.text


@pytest.mark.asvs("13.4.5", "16.3.4")
@pytest.mark.usefixtures("environment")
def test_wrong_setting_is_named_only_in_the_log(monkeypatch, log_lines):
    monkeypatch.setenv("BCRYPT_COST", "3")
    answer = get_health()
    assert (answer.status, answer.code) == (503, "service_unavailable")
    assert "BCRYPT" not in answer.text
    (record,) = log_lines.records
    assert (record["level"], record["message"]) == ("CRITICAL", "misconfigured")
    assert record["error"].startswith("BCRYPT_COST: ")


@pytest.mark.usefixtures("database")
def test_unknown_query_parameter_needs_no_more_privileges(log_lines):
    """Otherwise anyone could raise the alarm for audit records that cannot be stored."""
    with acting_as(HEALTH_ROLE):
        answer = call("health", proxy_event("GET", "/health", query={"verbose": "1"}))
    assert (answer.status, answer.fields) == (422, {"verbose"})
    assert "audit_write_fail" not in log_lines.text
    assert '"input_validation_fail"' in log_lines.text
