"""The wrapper of an invocation: request id, function and cold start in each log line, and the request's metrics."""

from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from threading import Barrier
from uuid import UUID

import pytest

from auth_common.events import metrics, request_context
from auth_common.events.catalogue import CATALOGUE
from auth_common.events.invocation import observed
from auth_common.events.logger import logger
from auth_common.events.request_context import RequestContext
from auth_common.events.security_events import SecurityEvent, security_event
from tests.support.events import SOURCE_IP, USER_AGENT, authorizer_event, lambda_context, proxy_event
from tests.support.factories import log_in, register

pytestmark = pytest.mark.events

SOMEONE = UUID(int=1)


@observed
def handler(event, _context):
    logger.info("working")
    for name in event.get("count", []):
        metrics.count(name)
    return {"context": request_context.get()}


def names_and_functions(lines):
    metrics_of = [(line, line["_aws"]["CloudWatchMetrics"][0]["Metrics"]) for line in lines]
    return [(metric["Name"], line["function"]) for line, written in metrics_of for metric in written]


@pytest.mark.asvs("16.2.1")
def test_log_line_has_the_id_and_function_of_its_own_request(log_lines):
    events = [proxy_event("GET", "/health") for _ in range(2)]
    for event in events:
        handler(event, lambda_context("health"))
        logger.append_keys(left_over="x")
    records = log_lines.records
    assert [record["request_id"] for record in records] == [event["requestContext"]["requestId"] for event in events]
    assert {record["function_name"] for record in records} == {"health"}
    assert records[1]["cold_start"] is False
    assert all(record["function_request_id"] for record in records)
    assert all("left_over" not in record for record in records)
    assert request_context.get() == RequestContext()


@pytest.mark.sqlite
@pytest.mark.usefixtures("database")
def test_log_line_of_a_function_has_the_request_id(log_lines):
    register()
    log_in()
    log_in(password="wrong password entirely")
    records = log_lines.records
    assert len(records) == 5  # sys_startup, user_created, authn_login_success, authn_token_created, authn_login_fail
    assert all(record["request_id"] and record["function_name"] in {"register", "login"} for record in records)


def test_request_context_comes_from_the_gateway_not_from_headers():
    event = proxy_event("POST", "/login", headers={"X-Forwarded-For": "198.51.100.9", "User-Agent": "forged"})
    client = {"source_ip": SOURCE_IP, "user_agent": USER_AGENT, "method": "POST", "path": "/login"}
    expected = RequestContext(request_id=event["requestContext"]["requestId"], function="login", **client)
    assert handler(event, lambda_context("login"))["context"] == expected
    context = handler(authorizer_event("Bearer x"), lambda_context("authorizer"))["context"]
    assert (context.method, context.path, context.source_ip) == ("GET", "/users/{id}", SOURCE_IP)


@pytest.mark.parametrize("event", [{}, {"requestContext": None}, {"requestContext": {"identity": None}}])
def test_event_without_a_gateway_has_the_request_id_of_lambda(event):
    """For example the event of a schedule."""
    context = lambda_context("cleanup")
    described = handler(event, context)["context"]
    assert described == RequestContext(request_id=context.aws_request_id, function="cleanup")


def test_metrics_are_one_series_in_emf_for_all_functions(log_lines, set_variables):
    """The function is a property and no dimension, so an alarm watches one series."""
    handler({}, lambda_context("health"))
    assert log_lines.metrics == []
    handler({"count": ["logins", "logins", "failures"]}, lambda_context("login"))
    set_variables(POWERTOOLS_METRICS_NAMESPACE="SecureBackend-prod", POWERTOOLS_SERVICE_NAME="another-service")
    handler({"count": ["logins"]}, lambda_context("login"))
    line, of_a_stage = log_lines.metrics
    (definition,) = line["_aws"]["CloudWatchMetrics"]
    assert definition["Namespace"] == "SecureBackend"
    assert (definition["Dimensions"], line["service"]) == ([["service"]], "secure-backend")
    assert definition["Metrics"] == [{"Name": "logins", "Unit": "Count"}, {"Name": "failures", "Unit": "Count"}]
    assert (line["function"], line["logins"], line["failures"]) == ("login", [1, 1], [1])
    namespace = of_a_stage["_aws"]["CloudWatchMetrics"][0]["Namespace"]
    assert (namespace, of_a_stage["service"]) == ("SecureBackend-prod", "another-service")


def test_request_that_fails_keeps_its_metrics(log_lines):
    @observed
    def fail(_event, _context):
        metrics.count("tried")
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        fail({}, lambda_context("login"))
    assert names_and_functions(log_lines.metrics) == [("tried", "login")]
    assert request_context.get() == RequestContext()


class FullDisk(StringIO):
    def write(self, _text):
        raise OSError(28, "No space left on device")


def test_error_in_writing_leaves_no_metric_for_the_next_line(log_lines, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", FullDisk())
        with pytest.raises(OSError, match="No space left"):
            handler({"count": ["logins"]}, lambda_context("login"))
    handler({"count": ["failures"]}, lambda_context("login"))
    assert names_and_functions(log_lines.metrics) == [("failures", "login")]


@pytest.mark.asvs("15.4.1")
def test_metrics_of_functions_in_one_process_are_not_shared(log_lines):
    together = Barrier(8)

    def call(number):
        function = f"function{number % 2}"

        @observed
        def count_slowly(_event, _context):
            for _ in range(20):
                together.wait(30)
                metrics.count(f"counted-by-{function}")
            return {}

        count_slowly({}, lambda_context(function))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(call, range(8)))
    lines = log_lines.metrics
    assert len(lines) == 8
    assert all(name == f"counted-by-{function}" for name, function in names_and_functions(lines))
    assert all(len(line[f"counted-by-{line['function']}"]) == 20 for line in lines)


@pytest.mark.asvs("16.2.1")
@pytest.mark.usefixtures("environment")
def test_security_event_names_the_user_the_client_and_the_request(log_lines):
    @observed
    def refuse(_event, _context):
        security_event(SecurityEvent.AUTHZ_FAIL, user_id=SOMEONE, reason="not_self", target="another")
        return {}

    refuse(proxy_event("GET", "/users/another"), lambda_context("get_user"))
    record = log_lines.records[-1]
    assert (record["level"], record["message"]) == ("WARNING", "authz_fail")
    assert record["location"].startswith("refuse:")
    request = {"source_ip": SOURCE_IP, "user_agent": USER_AGENT, "method": "GET", "path": "/users/{id}"}
    expected = {"name": "authz_fail", "outcome": "failure", "user_id": str(SOMEONE), "reason": "not_self"}
    assert log_lines.security_events == [expected | request | {"target": "another"}]
    assert ("authz_fail", "get_user") in names_and_functions(log_lines.metrics)


@pytest.mark.usefixtures("environment")
def test_security_events_of_an_operator_are_log_lines_only(log_lines):
    """Failures have the level WARNING, and there are no metrics."""
    for event in SecurityEvent:
        security_event(event)
    levels = {record["message"]: record["level"] for record in log_lines.records}
    expected = {event.value: "INFO" if CATALOGUE[event].succeeded else "WARNING" for event in SecurityEvent}
    assert levels == expected
    assert log_lines.metrics == []
