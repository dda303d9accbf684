"""What every application has around its endpoints: headers, problem responses, and no event loop."""

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest
from fastapi import Response
from starlette.types import ASGIApp

from auth_common.web.application import create_app, create_handler
from tests.support.events import lambda_context, proxy_event
from tests.support.functions import call_handler

pytestmark = pytest.mark.web

BUG = "SELECT * FROM users; the text of a bug"

WHO = ContextVar("who", default="nobody")

app = create_app()


@app.get("/bug")
async def bug() -> None:
    raise LookupError(BUG)


@app.get("/cacheable")
async def cacheable(response: Response) -> str:
    response.headers["Cache-Control"] = "public, max-age=300"
    return "x"


@app.get("/binary")
async def binary() -> Response:
    return Response(b"\xff\x00", media_type="application/octet-stream")


@app.get("/threaded")
def threaded() -> str:
    raise AssertionError("there are no threads to run it in")


@app.get("/waiting")
async def waiting() -> str:
    await asyncio.sleep(0)
    raise AssertionError("nobody went on with it")


@app.get("/waiting-again")
async def waiting_again() -> str:
    try:
        return await waiting()
    finally:
        await asyncio.sleep(0)


@app.get("/who")
async def who() -> str:
    before = WHO.get()
    WHO.set("somebody")
    return before


@app.get("/things/{id}")
async def thing() -> str:
    return "x"


handler = create_handler(app)


def get(path, *, method="GET"):
    return call_handler(handler, proxy_event(method, path))


def check_answer_to_a_bug(answer, log_lines):
    assert (answer.status, answer.code, answer.json["title"]) == (500, "internal_error", "Internal Server Error")
    assert "request id" in answer.json["detail"]
    assert BUG not in answer.text
    (record,) = [record for record in log_lines.records if record["level"] == "ERROR"]
    assert record["message"] == "unhandled_exception"
    assert record["request_id"] == answer.json["request_id"]
    assert record["exception_name"] == "LookupError"
    assert BUG in record["exception"]


@pytest.mark.asvs("13.4.2", "16.3.4", "16.5.1")
@pytest.mark.threat("function-leaked-secrets")
def test_a_bug_is_a_problem_for_the_client_and_a_traceback_for_us(log_lines):
    check_answer_to_a_bug(get("/bug"), log_lines)


@pytest.mark.asvs("16.5.4")
def test_a_bug_before_any_endpoint_is_answered_like_every_other(log_lines):
    def middleware(_app: ASGIApp) -> ASGIApp:
        raise LookupError(BUG)

    broken = create_app()
    broken.add_middleware(middleware)
    check_answer_to_a_bug(call_handler(create_handler(broken), proxy_event("GET", "/x")), log_lines)


@pytest.mark.asvs("3.4.1", "16.5.4")
def test_a_bug_in_one_request_leaves_the_next_one_alone():
    assert get("/bug").status == 500
    assert get("/things/1").status == 200


def test_a_context_variable_of_one_request_is_not_there_in_the_next():
    assert [get("/who").json for _ in range(2)] == ["nobody", "nobody"]


@pytest.mark.asvs("14.2.2", "14.3.2")
def test_no_answer_may_be_stored_unless_the_endpoint_says_so():
    assert get("/things/1").headers["cache-control"] == "no-store"
    assert get("/cacheable").headers["cache-control"] == "public, max-age=300"


PATHS = ["/things/1", "/nothing", "/bug", "/cacheable"]


@pytest.mark.asvs("3.2.1", "3.4.3", "3.4.6")
def test_no_answer_runs_loads_or_frames_anything_in_a_browser():
    for path in PATHS:
        policy = get(path).headers["content-security-policy"].split("; ")
        assert policy == ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "sandbox"], path


@pytest.mark.asvs("3.4.2", "3.4.5", "3.5.8")
@pytest.mark.threat("page-csrf-or-framing")
def test_no_answer_is_for_another_origin():
    for path in PATHS:
        answer = call_handler(handler, proxy_event("GET", path, headers={"Origin": "https://evil.example"}))
        assert [name for name in answer.headers if name.startswith("access-control-")] == [], path
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.asvs("3.3.1", "3.3.2", "3.3.3", "3.3.4", "3.3.5", "13.4.6")
def test_no_answer_sets_a_cookie_or_names_its_software():
    for path in PATHS:
        assert not get(path).headers.keys() & {"set-cookie", "server", "x-powered-by", "via"}, path


@pytest.mark.asvs("13.4.5")
def test_there_is_no_documentation_to_find_and_nothing_else_either():
    for path in ("/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect", "/nothing", "/"):
        answer = get(path)
        assert (answer.status, answer.code) == (404, "not_found"), path


@pytest.mark.asvs("1.5.3")
@pytest.mark.parametrize("path", ["/bug/", "/things/1/", "//things/1", "/things//1"])
def test_a_path_has_one_spelling(path):
    """A redirect would be answered where the gateway's route is not looked at."""
    assert get(path).status == 404


@pytest.mark.asvs("4.1.4", "13.4.4")
@pytest.mark.parametrize("method", ["DELETE", "TRACE", "CONNECT", "HEAD", "OPTIONS"])
def test_another_method_is_refused_with_the_ones_that_there_are(method):
    answer = get("/things/1", method=method)
    assert answer.status == 405
    assert method == "HEAD" or answer.code == "method_not_allowed"
    assert answer.headers["allow"] == "GET"


def test_bytes_travel_as_base64_and_json_as_text():
    binary = handler(proxy_event("GET", "/binary"), lambda_context("under-test"))
    assert (binary["isBase64Encoded"], base64.b64decode(binary["body"])) == (True, b"\xff\x00")
    for path in ("/things/1", "/nothing"):
        assert handler(proxy_event("GET", path), lambda_context("under-test"))["isBase64Encoded"] is False


@pytest.mark.parametrize("path", ["/threaded", "/waiting", "/waiting-again"])
def test_an_endpoint_that_needs_an_event_loop_fails_at_its_first_request(log_lines, path):
    """There is none: every endpoint is ``async def`` and awaits nothing but its framework."""
    answer = get(path)
    assert (answer.status, answer.code) == (500, "internal_error")
    (record,) = [record for record in log_lines.records if record["level"] == "ERROR"]
    assert record["message"] == "unhandled_exception"
    assert record["exception_name"] != "AssertionError"


@pytest.mark.asvs("15.4.1")
def test_it_answers_on_any_thread_and_leaves_no_event_loop_behind():
    def answer_twice(_number):
        statuses = [get("/things/1").status, get("/bug").status]
        with pytest.raises(RuntimeError, match="no current event loop"):
            asyncio.get_event_loop()
        return statuses

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(answer_twice, range(8))) == [[200, 500]] * 8


@pytest.mark.parametrize("host", ["[::1]:8000", "localhost:", "a:b:c", ":", ""])
def test_host_in_any_form_is_not_the_functions_business(host):
    """Its adapter to ASGI would raise, which is a 502 without a problem document."""
    event = proxy_event("GET", "/cacheable", headers={"Host": host, "X-Forwarded-Port": "443, x"})
    assert call_handler(handler, event).status == 200
