"""What every application has around its endpoints: headers, problem responses and an event loop."""

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

CALLER = ContextVar("caller", default="no caller")

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


@app.get("/waiting")
async def waiting() -> str:
    await asyncio.sleep(0)
    return "x"


@app.get("/caller")
async def caller() -> str:
    before = CALLER.get()
    CALLER.set("a caller")
    return before


@app.get("/things/{id}")
async def thing() -> str:
    return "x"


handler = create_handler(app)


def get(path):
    return call_handler(handler, proxy_event("GET", path))


@pytest.mark.asvs("13.4.2", "16.3.4", "16.5.1", "16.5.4")
@pytest.mark.threat("function-leaked-secrets")
def test_bug_is_a_problem_for_the_client_and_a_traceback_for_operators(log_lines):
    """The bug is in an endpoint or in a middleware. The next request is served."""

    def middleware(_app: ASGIApp) -> ASGIApp:
        raise LookupError(BUG)

    broken = create_app()
    broken.add_middleware(middleware)
    answers = [get("/bug"), call_handler(create_handler(broken), proxy_event("GET", "/x"))]
    records = [record for record in log_lines.records if record["level"] == "ERROR"]
    for answer, record in zip(answers, records, strict=True):
        assert (answer.status, answer.code, answer.json["title"]) == (500, "internal_error", "Internal Server Error")
        assert "request id" in answer.json["detail"]
        assert BUG not in answer.text
        assert (record["message"], record["exception_name"]) == ("unhandled_exception", "LookupError")
        assert record["request_id"] == answer.json["request_id"]
        assert BUG in record["exception"]
    assert get("/things/1").status == 200


def test_context_variable_of_one_request_is_not_set_in_the_next():
    assert [get("/caller").json for _ in range(2)] == ["no caller", "no caller"]


@pytest.mark.asvs("3.2.1", "3.3.1", "3.3.2", "3.3.3", "3.3.4", "3.3.5", "3.4.1", "3.4.2", "3.4.3", "3.4.5", "3.4.6")
@pytest.mark.asvs("3.5.8", "13.4.6", "14.2.2", "14.3.2")
@pytest.mark.threat("page-csrf-or-framing")
@pytest.mark.parametrize("path", ["/things/1", "/nothing", "/bug", "/cacheable"])
def test_response_cannot_be_run_framed_shared_or_stored_and_names_no_software(path):
    headers = call_handler(handler, proxy_event("GET", path, headers={"Origin": "https://evil.example"})).headers
    policy = headers["content-security-policy"].split("; ")
    assert policy == ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "sandbox"]
    assert [name for name in headers if name.startswith("access-control-")] == []
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["referrer-policy"] == "no-referrer"
    assert not headers.keys() & {"set-cookie", "server", "x-powered-by", "via"}
    # An endpoint may say so.
    assert headers["cache-control"] == ("public, max-age=300" if path == "/cacheable" else "no-store")


@pytest.mark.asvs("1.5.3", "13.4.5")
def test_path_has_one_spelling_and_there_is_no_documentation():
    """The gateway has no route for the target of a redirect."""
    documentation = ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"]
    for path in (*documentation, "/nothing", "/", "/bug/", "/things/1/", "//things/1", "/things//1"):
        answer = get(path)
        assert (answer.status, answer.code) == (404, "not_found"), path


def test_bytes_are_returned_as_base64_and_json_as_text():
    binary = handler(proxy_event("GET", "/binary"), lambda_context("under-test"))
    assert (binary["isBase64Encoded"], base64.b64decode(binary["body"])) == (True, b"\xff\x00")
    for path in ("/things/1", "/nothing"):
        assert handler(proxy_event("GET", path), lambda_context("under-test"))["isBase64Encoded"] is False


@pytest.mark.asvs("15.4.1")
def test_requests_on_several_threads_and_after_another_event_loop_are_served():
    """Each thread has its own event loop. The end of ``asyncio.run`` in that thread does not remove the loop."""

    def answer_twice(_number):
        statuses = [get("/waiting").status, get("/bug").status]
        asyncio.run(asyncio.sleep(0))
        return [*statuses, get("/waiting").status]

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(answer_twice, range(8))) == [[200, 500, 200]] * 8


@pytest.mark.parametrize("host", ["[::1]:8000", "localhost:", "a:b:c", ":", ""])
def test_host_of_any_form_is_ignored(host):
    """Mangum would raise for such a host, and the response would be a 502 without a problem document."""
    event = proxy_event("GET", "/cacheable", headers={"Host": host, "X-Forwarded-Port": "443, x"})
    assert call_handler(handler, event).status == 200
