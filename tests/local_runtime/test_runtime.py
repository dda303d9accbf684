"""The local runtime from outside, over functions that show what it does to them."""

import asyncio
import base64
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import httpx
import pytest

from tests.local_runtime.conftest import PROBE_PROJECT
from tests.support.processes import is_running, wait_until
from tests.support.runtime import running_runtime

pytestmark = pytest.mark.local_runtime

PNG = base64.b64decode("iVBORw0KGgo=")
LIMIT = 6_291_556


def echo(probe, method="GET", path="/echo/a/b", **request):
    return probe.request(method, path, **request).raise_for_status().json()


# --- What a function gets ---------------------------------------------------------------------------------------------


def test_a_request_arrives_as_a_proxy_event(probe):
    event = echo(
        probe,
        "PUT",
        "/echo/J%C3%BCrgen%20%2F%20Co/x%2Fy/z?tag=1&tag=%26&empty=",
        headers=[("X-Tag", "one"), ("X-Tag", "two"), ("Content-Type", "text/plain")],
        content="grüß".encode(),
    )["event"]
    assert event["httpMethod"] == "PUT"
    assert event["resource"] == "/echo/{name}/{rest+}"
    assert event["path"] == "/echo/J%C3%BCrgen%20%2F%20Co/x%2Fy/z"
    assert event["pathParameters"] == {"name": "Jürgen / Co", "rest": "x/y/z"}
    assert event["queryStringParameters"] == {"tag": "&", "empty": ""}
    assert event["multiValueQueryStringParameters"] == {"tag": ["1", "&"], "empty": [""]}
    assert event["headers"]["x-tag"] == "two"
    assert event["multiValueHeaders"]["x-tag"] == ["one", "two"]
    assert (event["body"], event["isBase64Encoded"]) == ("grüß", False)


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream"])
def test_a_binary_body_arrives_as_base64(probe, content_type):
    event = echo(probe, "POST", headers={"Content-Type": content_type}, content=PNG)["event"]
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == PNG


def test_the_caller_is_the_other_end_of_the_connection_whatever_the_headers_say(probe):
    event = echo(probe, headers={"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"})["event"]
    source_ip = event["requestContext"]["identity"]["sourceIp"]
    assert source_ip in {"127.0.0.1", "::1"}
    assert event["headers"]["x-forwarded-for"] == f"203.0.113.7, {source_ip}"
    assert event["headers"]["x-forwarded-proto"] == "http"
    assert event["headers"]["x-forwarded-port"] == str(probe.base_url.port)


def test_the_context_object_is_lambdas(probe):
    context = echo(probe)["context"]
    assert context["function_name"] == "Echo"
    assert context["memory_limit_in_mb"] == "512"
    assert UUID(context["aws_request_id"]).version == 4
    assert context["invoked_function_arn"] == "arn:aws:lambda:us-east-1:123456789012:function:Echo"
    assert context["log_group_name"] == "/aws/lambda/Echo"
    assert context["log_stream_name"].startswith("local/[$LATEST]")
    assert 0 < context["remaining"] <= 20_000


def test_a_function_has_an_environment_of_its_own(probe, probe_data):
    environment = echo(probe)["environment"]
    assert environment["DATA_DIR"] == str(probe_data)
    assert environment["OVERRIDABLE"] == "from the shell"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "Echo"
    assert "AWS_SECRET_ACCESS_KEY" not in environment
    assert "PYTHONPATH" not in environment


def test_a_function_sees_its_own_folder_utc_and_no_terminal(probe):
    seen = echo(probe)
    assert seen["import_path"][0].endswith("/functions/probe")
    assert seen["timezone"] == "UTC"
    assert seen["stdin"] == ""


def test_each_function_has_a_process_of_its_own_and_keeps_it(probe):
    pids = {echo(probe)["pid"] for _ in range(3)}
    assert len(pids) == 1
    assert probe.get("/crashing/not").json()["pid"] not in pids


def test_what_a_function_prints_is_in_the_terminal(probe, runtime):
    echo(probe)
    assert "echo was called\n" in runtime.log


@pytest.mark.asvs("16.2.5")
def test_access_lines_name_routes_and_hide_paths_and_queries(probe, runtime):
    """A path can hold a token or an e-mail address, and a mistyped one has no route."""
    before = runtime.log.count(" 200, ")
    echo(probe, path="/echo/eyJ-in-the-path/ann@example.com?token=eyJ-in-the-query")
    assert probe.get("/sessions/eyJ-without-a-route?token=eyJ-in-the-query").status_code == 403
    assert probe.get("/eyJ-before-a-file/..%2fhello.txt").status_code in {200, 403}
    assert probe.get("/hello.txt?token=eyJ-in-the-query").status_code == 200
    wait_until(lambda: runtime.log.count(" 200, ") >= before + 2)
    assert "GET /echo/{name}/{rest+} 200, " in runtime.log
    assert "eyJ" not in runtime.log
    assert "ann@example.com" not in runtime.log


# --- What a client gets -----------------------------------------------------------------------------------------------


def test_a_binary_body_leaves_as_it_was_before_base64(probe):
    response = probe.get("/image", headers={"Accept": "image/png"})
    assert response.headers["content-type"] == "image/png"
    assert response.content == PNG


def test_multi_value_headers_leave_as_several_headers(probe):
    assert probe.get("/cookies").headers.get_list("set-cookie") == ["a=1", "b=2"]


@pytest.mark.asvs("13.4.6")
def test_the_server_does_not_name_itself(probe):
    assert "server" not in probe.get("/echo/a/b").headers


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nowhere"), ("POST", "/image"), ("GET", "/image/"), ("GET", "/")]
)
def test_without_a_route_the_gateway_answers(probe, method, path):
    response = probe.request(method, path)
    assert (response.status_code, response.json()) == (403, {"message": "Missing Authentication Token"})


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_files_of_the_public_folder_are_served_beside_the_api(probe, method):
    response = probe.request(method, "/hello.txt")
    assert response.status_code == 200
    assert response.text == ("a public file\n" if method == "GET" else "")


@pytest.mark.asvs("3.4.4", "3.4.5", "3.4.6")
def test_files_are_served_with_headers_that_protect_a_page(probe):
    first = probe.get("/hello.txt")
    again = probe.get("/hello.txt", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    for response in (first, again):
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["content-security-policy"] == "frame-ancestors 'none'"
        assert response.headers["cross-origin-opener-policy"] == "same-origin"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.asvs("13.4.1")
@pytest.mark.parametrize("path", ["/../template.yaml", "/%2e%2e/template.yaml", "/..%2ftemplate.yaml"])
def test_no_other_file_is_served(probe, path):
    # A raw request: the client would tidy up the path.
    url = probe.base_url
    with probe.stream("GET", httpx.URL(f"{url.scheme}://{url.netloc.decode()}", raw_path=path.encode())) as response:
        assert response.status_code == 403


# --- The authorizer ---------------------------------------------------------------------------------------------------


def call_protected(probe, token=None, path="/protected/1"):
    return probe.get(path, headers={"Authorization": token} if token else {})


def authorizer_calls(probe_data, token):
    return (probe_data / "authorizer-calls").read_text().splitlines().count(token)


def test_an_allowed_request_brings_the_authorizers_context(probe):
    event = call_protected(probe, "Allow").json()["event"]
    assert event["requestContext"]["authorizer"] == {"tier": "3", "principalId": "ann"}


@pytest.mark.parametrize(
    ("token", "status"),
    [
        (None, 401),
        ("Unauthorized", 401),
        ("Deny", 403),
        ("Allow arn:aws:execute-api:us-east-1:123456789012:1234567890/local/GET/elsewhere/*", 403),
        ("raise", 500),
        ("nonsense", 500),
        ("Perhaps", 500),
    ],
)
def test_a_request_that_the_authorizer_does_not_allow_goes_no_further(probe, token, status):
    response = call_protected(probe, token)
    assert response.status_code == status
    assert response.json().keys() == {"message"}


def test_the_authorizer_is_asked_once_a_token(probe, probe_data):
    token = "Allow arn:aws:execute-api:*/GET/protected/*"
    for path in ("/protected/1", "/protected/2", "/protected/1"):
        assert call_protected(probe, token, path).status_code == 200
    assert authorizer_calls(probe_data, token) == 1


# --- Functions on a schedule ------------------------------------------------------------------------------------------


def test_functions_on_a_schedule_run_once_at_start_and_one_that_fails_stops_nothing(runtime, probe_data):
    events = probe_data / "weekly-events"
    wait_until(events.exists)
    assert events.read_text() == "{}\n"
    assert "Nightly: nothing to do at night" in runtime.log


# --- Functions that fail ----------------------------------------------------------------------------------------------


def test_a_function_that_takes_too_long_is_ended_and_the_next_request_gets_a_new_one(probe, probe_data):
    response = probe.get("/slow")
    assert (response.status_code, response.json()) == (502, {"message": "Internal server error"})
    ended = int((probe_data / "slow.pid").read_text())
    wait_until(lambda: not is_running(ended))
    assert probe.get("/slow").json()["pid"] != ended


@pytest.mark.parametrize("how", ["exit", "killed", "raise", "malformed", "unserialisable"])
def test_a_function_that_fails_is_a_502_without_its_reason_and_the_next_request_works(probe, how):
    response = probe.get(f"/crashing/{how}")
    assert (response.status_code, response.json()) == (502, {"message": "Internal server error"})
    assert probe.get("/crashing/not").status_code == 200


def test_the_reason_of_a_failure_is_in_the_terminal(probe, runtime):
    probe.get("/crashing/raise")
    assert "ValueError: the password is on the next line" in runtime.log
    probe.get("/crashing/malformed")
    wait_until(lambda: "Crashing: malformed proxy response: " in runtime.log)


def test_a_worker_that_was_killed_while_idle_costs_nobody_a_request(probe):
    idle = probe.get("/crashing/not").json()["pid"]
    os.kill(idle, signal.SIGKILL)
    wait_until(lambda: not is_running(idle))
    assert probe.get("/crashing/not").status_code == 200


def test_a_function_that_cannot_be_imported_is_a_502_and_the_reason_in_the_terminal(probe, runtime):
    assert probe.get("/unimportable").status_code == 502
    assert "No module named 'missing'" in runtime.log


# --- Sizes ------------------------------------------------------------------------------------------------------------


def test_a_request_of_almost_six_megabytes_gets_through(probe):
    content = b"a" * (LIMIT - 10_000)
    assert len(echo(probe, "POST", content=content)["event"]["body"]) == len(content)


@pytest.mark.parametrize("size", [LIMIT, 11 * 1024 * 1024])
def test_a_larger_one_is_refused_and_the_next_request_works(probe, size):
    response = probe.post("/echo/a/b", content=b"a" * size)
    assert (response.status_code, response.json()) == (413, {"message": "Request Too Long"})
    assert echo(probe)["pid"]


def test_base64_counts_as_it_travels(probe):
    response = probe.post("/echo/a/b", headers={"Content-Type": "image/png"}, content=b"a" * (LIMIT * 4 // 5))
    assert response.status_code == 413


def test_a_larger_response_is_a_502(probe):
    assert len(probe.get(f"/large/{LIMIT - 10_000}").content) == LIMIT - 10_000
    assert probe.get(f"/large/{LIMIT}").status_code == 502


def test_an_over_long_header_is_for_the_functions_to_judge(probe):
    assert len(echo(probe, headers={"X-Long": "a" * 100_000})["event"]["headers"]["x-long"]) == 100_000


# --- Concurrency ------------------------------------------------------------------------------------------------------


async def meet(url, *, requests, meeting, attendants):
    """Call at the same time; each call waits in its function for the others."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        query = {"meeting": meeting, "attendants": attendants}
        calls = (client.get("/meeting", params=query) for _ in range(requests))
        return [response.json() for response in await asyncio.gather(*calls)]


def test_parallel_requests_get_workers_of_their_own(probe):
    answers = asyncio.run(meet(probe.base_url, requests=4, meeting="four", attendants=4))
    assert {answer["met"] for answer in answers} == {4}
    assert len({answer["pid"] for answer in answers}) == 4


def test_there_are_at_most_eight_workers_and_further_requests_wait(probe):
    answers = asyncio.run(meet(probe.base_url, requests=20, meeting="many", attendants=8))
    assert len(answers) == 20
    assert len({answer["pid"] for answer in answers}) == 8


def test_a_client_that_leaves_early_harms_nobody(probe, runtime):
    before = len(runtime.log)
    with socket.create_connection(("127.0.0.1", probe.base_url.port)) as connection:
        connection.sendall(b"POST /echo/a/b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nonly this")
    assert echo(probe)["pid"]
    assert "Traceback" not in runtime.log[before:]


# --- Its end ----------------------------------------------------------------------------------------------------------


@contextmanager
def busy_runtime(tmp_path):
    """A runtime of which one function is at work; the request that waits; the ids of the worker and its parent."""
    with running_runtime(tmp_path, project=PROBE_PROJECT) as runtime, ThreadPoolExecutor() as clients:
        parent = httpx.get(f"{runtime.url}/echo/a/b", timeout=60).json()["parent"]
        under_way = clients.submit(httpx.get, f"{runtime.url}/meeting?meeting=alone&attendants=2", timeout=60)
        wait_until(lambda: list(tmp_path.glob("alone/*")))
        (worker,) = tmp_path.glob("alone/*")
        yield runtime, under_way, int(worker.name), parent


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_everything_in_order(tmp_path, signal_number):
    with busy_runtime(tmp_path) as (runtime, under_way, worker, parent):
        runtime.process.send_signal(signal_number)
        assert under_way.result().status_code == 502
        assert runtime.process.wait(60) == 0
        assert "Exception in ASGI application" not in runtime.log
        assert not is_running(worker)
        assert not is_running(parent)


def test_no_process_outlives_a_runtime_that_is_killed(tmp_path):
    with busy_runtime(tmp_path) as (runtime, _, worker, parent):
        runtime.process.kill()
        wait_until(lambda: not is_running(worker) and not is_running(parent))
