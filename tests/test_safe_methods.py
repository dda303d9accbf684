"""GET: it changes nothing, so a link, an image or another site's page has nothing to gain from it (ASVS 5.0 3.5.3)."""

import pytest
from sqlalchemy import select

from auth_common.db.tables import audit_events, audit_salts, metadata
from local_runtime.template import load_template
from tests.support.auditors import auditor_token
from tests.support.events import proxy_event
from tests.support.functions import authorize, call
from tests.test_structure import PROJECT

pytestmark = pytest.mark.web

ROUTES = load_template(PROJECT / "template.yaml").routes
SAFE = [route for route in ROUTES if route.method == "GET"]
#: Reading others' data is recorded, under the reader's salt.
RECORDS = {audit_events.name, audit_salts.name}


def rows(database):
    return {
        table.name: sorted(map(repr, database.execute(select(table))))
        for table in metadata.sorted_tables
        if table.name not in RECORDS
    }


@pytest.mark.asvs("3.5.3")
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_get_changes_anything(database):
    caller = authorize(auditor_token("admin"))["context"]
    before = rows(database)
    assert before["sessions"]
    assert before["passkeys"]
    for route in SAFE:
        ids = {"id": caller["user_id"]} if "{id}" in route.path else None
        event = proxy_event(
            "GET",
            route.path.replace("{id}", caller["user_id"]),
            path_parameters=ids,
            authorizer=caller if route.authorizer else None,
        )
        assert call(route.function.folder.name, event).status == 200
    assert rows(database) == before


@pytest.mark.asvs("3.5.3", "13.4.4")
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.method != "GET"], ids=lambda route: f"{route.method} {route.path}"
)
@pytest.mark.usefixtures("environment")
def test_no_safe_method_reaches_what_changes_something(route, method):
    if (method, route.path) in {(safe.method, safe.path) for safe in SAFE}:
        return  # another endpoint, which reads
    answer = call(route.function.folder.name, proxy_event(method, route.path.replace("{id}", "1")))
    assert answer.status == 405
