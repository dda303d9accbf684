"""Security events as OCSF 1.3.0, and the catalogue of their meanings.

Every event that a test provokes is also validated, by tests/support/event_schema.py.
"""

from typing import Any
from uuid import UUID, uuid4

import pytest

from auth_common.events.catalogue import CATALOGUE
from auth_common.events.ocsf import to_ocsf
from auth_common.events.recorded_event import RecordedEvent
from auth_common.events.request_context import RequestContext
from auth_common.events.vocabulary import SecurityEvent
from tests.support.event_schema import schema_errors_in, schema_errors_of
from tests.support.events import SOURCE_IP, USER_AGENT

pytestmark = pytest.mark.events

CLIENT = {"source_ip": SOURCE_IP, "user_agent": USER_AGENT}
REQUEST = RequestContext(request_id="a-request", function="login", method="POST", path="/login", **CLIENT)
CONTEXTS = {
    "request": REQUEST,
    "patch": RequestContext(request_id="x", function="webauthn", method="PATCH", path="/x", source_ip="2001:db8::1"),
    "command": RequestContext(function="accounts", operator="root"),
    "nothing": RequestContext(),
}


def recorded_event(name, *, request=REQUEST, **changes):
    return RecordedEvent(name=name, time=1_800_000_000_000, request=request, **changes)


def full_detail(event) -> dict[str, Any]:
    return {field: ["pwd", "mfa"] if field == "amr" else "x" for field in CATALOGUE[event].fields}


@pytest.mark.asvs("16.2.4")
@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
@pytest.mark.parametrize("user_id", [UUID(int=1), None], ids=["known user", "unknown user"])
def test_event_of_each_kind_is_valid_in_each_context(user_id, context):
    faults = {}
    for event in SecurityEvent:
        for detail in (full_detail(event), dict[str, Any]()):
            for reason in (None, *CATALOGUE[event].reasons):
                made = recorded_event(event, request=context, user_id=user_id, reason=reason, detail=detail)
                faults[event, reason, bool(detail)] = schema_errors_of(to_ocsf(made))
    assert {case: found for case, found in faults.items() if found} == {}


#: By the fault: a change that makes a valid event invalid.
INVALID: dict[str, dict[str, Any]] = {
    "severity_id": {"severity_id": "x"},
    "metadata": {"metadata": {"event_code": "authn_login_fail"}},
    "password": {"password": "x"},
    "user": {"user": {}},
    "reason invented": {"status_detail": "invented"},
    "field invented": {"unmapped": {"invented": 1}},
}


@pytest.mark.asvs("16.2.4")
def test_schema_check_finds_each_fault_of_an_event():
    good = to_ocsf(recorded_event(SecurityEvent.AUTHN_LOGIN_FAIL))
    for fault, change in INVALID.items():
        assert any(fault in text for text in schema_errors_of({**good, **change})), fault
    wrong = '{"level":"INFO","security_event":{"metadata":{"event_code":"user_created"},"class_uid":3001}}'
    assert schema_errors_in(f"something else\n{wrong}\n") != []


def test_name_reason_and_fields_are_in_their_ocsf_attributes():
    user_id = uuid4()
    event = to_ocsf(
        recorded_event(SecurityEvent.AUTHN_LOGIN_FAIL, user_id=user_id, reason="not_valid", detail={"fault": "origin"})
    )
    assert (event["metadata"]["event_code"], event["metadata"]["correlation_uid"]) == ("authn_login_fail", "a-request")
    assert (event["class_uid"], event["activity_id"], event["type_uid"]) == (3002, 1, 300201)
    assert (event["status"], event["status_detail"], event["severity"]) == ("Failure", "not_valid", "Low")
    assert event["user"] == {"uid": str(user_id), "type_id": 1}
    assert event["src_endpoint"] == {"ip": SOURCE_IP}
    assert event["unmapped"] == {"fault": "origin"}


def test_api_activity_depends_on_the_http_method():
    for method, activity in {"POST": 1, "GET": 2, "PATCH": 3, "DELETE": 4, "PROPFIND": 99}.items():
        request = RequestContext(request_id="x", function="f", method=method, path="/x", source_ip=SOURCE_IP)
        event = to_ocsf(recorded_event(SecurityEvent.AUTHZ_FAIL, request=request))
        assert (event["activity_id"], event["type_uid"]) == (activity, 600300 + activity), method
        assert event["api"]["operation"] == f"{method} /x"


@pytest.mark.asvs("16.3.3")
def test_catalogue_has_outcome_and_response_of_each_event():
    assert list(CATALOGUE) == list(SecurityEvent)
    assert all(entry.when and entry.respond.endswith(".") for entry in CATALOGUE.values())
    of_failures = {
        "bounced",
        "exceeded",
        "fail",
        "failed",
        "inconsistent",
        "lock",
        "max",
        "paused",
        "rejected",
        "reuse",
    }
    failures = {event for event in SecurityEvent if event.rsplit("_", 1)[-1] in of_failures}
    assert {event for event, entry in CATALOGUE.items() if not entry.succeeded} == failures
