"""GET changes nothing (RFC 9110 section 9.2.1, ASVS 5.0 3.5.3): a link or an image on a foreign page does no harm."""

import pytest
from sqlalchemy import select

from auth_common.db.tables import audit_events, metadata
from auth_common.services.accounts import change_role
from local_runtime.template import Route, load_template
from tests.support.events import proxy_event
from tests.support.functions import authorize, call
from tests.support.passkeys import enrol
from tests.support.runtime import PROJECT

READS = [route for route in load_template(PROJECT / "template.yaml").routes if route.method == "GET"]


def test_what_changes_something_has_a_method_that_says_so():
    others = {route.method for route in load_template(PROJECT / "template.yaml").routes} - {"GET"}
    assert others == {"POST", "PATCH", "DELETE"}


@pytest.mark.parametrize("route", READS, ids=lambda route: route.path)
def test_a_get_changes_nothing_but_the_audit_log(database, route: Route):
    holder = enrol()
    change_role(holder.account.email, "admin")
    token = holder.log_in_alone().json["access_token"]
    context = authorize(token)["context"] if route.authorizer else None
    path = route.path.replace("{id}", holder.account.id)
    query = {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"} if "audit" in path else {}
    tables = [table for table in metadata.sorted_tables if table is not audit_events]
    before = [database.execute(select(table)) for table in tables]
    event = proxy_event("GET", path, path_parameters={"id": holder.account.id}, query=query, authorizer=context)
    assert call(route.function.folder.name, event).status == 200
    assert [database.execute(select(table)) for table in tables] == before
