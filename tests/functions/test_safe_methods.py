"""GET changes nothing, so an attacker gains nothing from a link, an image or another site's page (ASVS 5.0 3.5.3)."""

import pytest
from sqlalchemy import select

from auth_common.db.tables import audit_events, audit_salts, metadata
from tests.support.auditors import auditor_token
from tests.support.events import proxy_event
from tests.support.functions import authorize, call
from tests.support.routes import ROUTES

pytestmark = pytest.mark.web

SAFE = [route for route in ROUTES if route.method == "GET"]
#: Safe methods of the paths at which another method changes something. A GET of such a path may be a route of its own.
UNROUTED = [
    pytest.param(route, method, id=f"{method} for {route.method} {route.path}")
    for route in ROUTES
    if route.method != "GET"
    for method in ("GET", "HEAD", "OPTIONS", "TRACE")
    if (method, route.path) not in {(safe.method, safe.path) for safe in SAFE}
]
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
@pytest.mark.parametrize(("route", "method"), UNROUTED)
@pytest.mark.usefixtures("environment")
def test_no_safe_method_reaches_what_changes_something(route, method):
    event = proxy_event(method, route.path.replace("{id}", "1"))
    assert call(route.function.folder.name, event, is_routed=False).status == 405
