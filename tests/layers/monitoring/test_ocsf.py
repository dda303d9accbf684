"""Security events as OCSF 1.3.0, and the catalogue that says what they mean.

Every event that any test provokes is validated too: tests/support/event_schema.py.
"""

from typing import Any
from uuid import UUID, uuid4

import pytest

from auth_common.monitoring.event_catalogue import CATALOGUE
from auth_common.monitoring.occurrence import Occurrence
from auth_common.monitoring.ocsf import to_ocsf
from auth_common.monitoring.request_context import RequestContext
from auth_common.monitoring.vocabulary import SecurityEvent
from tests.support.event_schema import faults_in, faults_of
from tests.support.events import SOURCE_IP, USER_AGENT

pytestmark = pytest.mark.events

REQUEST = RequestContext(
    request_id="a-request", function="login", method="POST", path="/login", source_ip=SOURCE_IP, user_agent=USER_AGENT
)
CONTEXTS = {
    "request": REQUEST,
    "patch": RequestContext(request_id="x", function="webauthn", method="PATCH", path="/x", source_ip="2001:db8::1"),
    "command": RequestContext(function="accounts", operator="root"),
    "nothing": RequestContext(),
}


def occurrence(event, *, request=REQUEST, **changes):
    return Occurrence(event=event, time=1_800_000_000_000, request=request, **changes)


def full_detail(event) -> dict[str, Any]:
    return {field: ["pwd", "mfa"] if field == "amr" else "x" for field in CATALOGUE[event].fields}


@pytest.mark.asvs("16.2.4")
@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
@pytest.mark.parametrize("user_id", [UUID(int=1), None], ids=["known user", "unknown user"])
def test_each_event_is_valid_in_each_context(user_id, context):
    faults = {}
    for event in SecurityEvent:
        for detail in (full_detail(event), dict[str, Any]()):
            for reason in (None, *CATALOGUE[event].reasons):
                made = occurrence(event, request=context, user_id=user_id, reason=reason, detail=detail)
                faults[event, reason, bool(detail)] = faults_of(to_ocsf(made))
    assert {case: found for case, found in faults.items() if found} == {}


@pytest.mark.asvs("16.2.4")
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"severity_id": "x"}, "severity_id"),
        ({"metadata": {"event_code": "authn_login_fail"}}, "metadata"),
        ({"password": "x"}, "password"),
        ({"status_detail": "invented"}, "reason invented"),
        ({"unmapped": {"invented": 1}}, "field invented"),
        ({"user": {}}, "user"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_check_finds_what_is_wrong(change, fault):
    faults = faults_of({**to_ocsf(occurrence(SecurityEvent.AUTHN_LOGIN_FAIL)), **change})
    assert any(fault in text for text in faults)


def test_the_watch_reads_the_lines_that_a_test_writes(log_lines):
    wrong = '{"level":"INFO","security_event":{"metadata":{"event_code":"user_created"},"class_uid":3001}}'
    assert faults_in(f"something else\n{wrong}\n") != []


def test_the_name_the_reason_and_the_fields_are_where_a_siem_looks():
    user_id = uuid4()
    event = to_ocsf(
        occurrence(SecurityEvent.AUTHN_LOGIN_FAIL, user_id=user_id, reason="not_valid", detail={"fault": "origin"})
    )
    assert (event["metadata"]["event_code"], event["metadata"]["correlation_uid"]) == ("authn_login_fail", "a-request")
    assert (event["class_uid"], event["activity_id"], event["type_uid"]) == (3002, 1, 300201)
    assert (event["status"], event["status_detail"], event["severity"]) == ("Failure", "not_valid", "Low")
    assert event["user"] == {"uid": str(user_id), "type_id": 1}
    assert event["src_endpoint"] == {"ip": SOURCE_IP}
    assert event["unmapped"] == {"fault": "origin"}


def test_api_activity_follows_the_method():
    for method, activity in {"POST": 1, "GET": 2, "PATCH": 3, "DELETE": 4, "PROPFIND": 99}.items():
        request = RequestContext(request_id="x", function="f", method=method, path="/x", source_ip=SOURCE_IP)
        event = to_ocsf(occurrence(SecurityEvent.AUTHZ_FAIL, request=request))
        assert (event["activity_id"], event["type_uid"]) == (activity, 600300 + activity), method
        assert event["api"]["operation"] == f"{method} /x"


@pytest.mark.asvs("16.3.3")
def test_each_event_is_in_the_catalogue_and_each_entry_says_what_to_do():
    assert list(CATALOGUE) == list(SecurityEvent)
    for entry in CATALOGUE.values():
        assert entry.when
        assert entry.respond.endswith(".")


def test_outcomes_are_those_that_the_names_say():
    of_failures = {"exceeded", "fail", "inconsistent", "lock", "max", "rejected", "reuse"}
    failures = {event.value for event in SecurityEvent if event.rsplit("_", 1)[-1] in of_failures}
    assert {event.value for event, entry in CATALOGUE.items() if not entry.succeeded} == failures
