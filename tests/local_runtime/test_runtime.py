"""The local runtime as a process, with functions that return their event and their environment."""

import asyncio
import base64
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID

import httpx
import pytest

from local_runtime.gateway import Service
from local_runtime.template import load_template
from local_runtime.workers import worker_factory
from tests.local_runtime.conftest import PROBE_PROJECT
from tests.support.processes import is_running, wait_until
from tests.support.runtime import running_runtime

pytestmark = [pytest.mark.local_runtime, pytest.mark.xdist_group("local-service")]

PNG = base64.b64decode("iVBORw0KGgo=")
LIMIT = 6_291_556


def echo(probe, method="GET", path="/echo/a/b", **request):
    return probe.request(method, path, **request).raise_for_status().json()


def test_function_gets_a_proxy_event(probe):
    event = echo(
        probe,
        "PUT",
        "/echo/J%C3%BCrgen%20%2F%20Co/x%2Fy/z?tag=1&tag=%26&empty=",
        headers=[("X-Tag", "one"), ("X-Tag", "two"), ("Content-Type", "text/plain")],
        content="grüß".encode(),
    )["event"]
    assert (event["httpMethod"], event["resource"]) == ("PUT", "/echo/{name}/{rest+}")
    assert event["path"] == "/echo/J%C3%BCrgen%20%2F%20Co/x%2Fy/z"
    assert event["pathParameters"] == {"name": "Jürgen / Co", "rest": "x/y/z"}
    assert event["queryStringParameters"] == {"tag": "&", "empty": ""}
    assert event["multiValueQueryStringParameters"] == {"tag": ["1", "&"], "empty": [""]}
    assert (event["headers"]["x-tag"], event["multiValueHeaders"]["x-tag"]) == ("two", ["one", "two"])
    assert (event["body"], event["isBase64Encoded"]) == ("grüß", False)


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream"])
def test_binary_body_is_base64_in_the_event(probe, content_type):
    event = echo(probe, "POST", headers={"Content-Type": content_type}, content=PNG)["event"]
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == PNG


def test_client_ip_is_that_of_the_connection_not_of_a_header(probe):
    event = echo(probe, headers={"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"})["event"]
    source_ip = event["requestContext"]["identity"]["sourceIp"]
    assert source_ip in {"127.0.0.1", "::1"}
    assert event["headers"]["x-forwarded-for"] == f"203.0.113.7, {source_ip}"
    assert event["headers"]["x-forwarded-proto"] == "http"
    assert event["headers"]["x-forwarded-port"] == str(probe.base_url.port)


def test_function_has_lambdas_context_and_environment(probe, probe_data, runtime):
    seen = echo(probe)
    context, environment = seen["context"], seen["environment"]
    assert (context["function_name"], context["memory_limit_in_mb"]) == ("Echo", "512")
    assert UUID(context["aws_request_id"]).version == 4
    assert context["invoked_function_arn"] == "arn:aws:lambda:us-east-1:123456789012:function:Echo"
    assert context["log_group_name"] == "/aws/lambda/Echo"
    assert context["log_stream_name"].startswith("local/[$LATEST]")
    assert 0 < context["remaining"] <= 60_000
    folder = str(PROBE_PROJECT / "functions" / "probe")
    of_lambda = {
        "AWS_LAMBDA_FUNCTION_NAME": "Echo",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "LAMBDA_TASK_ROOT": folder,
        "_HANDLER": "app.echo",
        "TZ": "UTC",
    }
    settings = {"DATA_DIR": str(probe_data), "OVERRIDABLE": "from the shell", "LEVEL": "INFO", "BCRYPT_COST": "4"}
    assert environment.items() >= {**of_lambda, **settings, "PATH": os.environ["PATH"]}.items()
    assert not environment.keys() & {"AWS_SECRET_ACCESS_KEY", "PYTHONPATH", "PORT"}
    assert seen["import_path"][0] == folder
    assert (seen["timezone"], seen["stdin"]) == ("UTC", "")
    assert "echo was called\n" in runtime.log


def test_each_function_has_one_process_of_its_own(probe):
    pids = {echo(probe)["pid"] for _ in range(3)}
    assert len(pids) == 1
    assert probe.get("/crashing/not").json()["pid"] not in pids


@pytest.mark.asvs("16.2.5")
def test_access_lines_have_routes_instead_of_paths_and_queries(probe, runtime):
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


@pytest.mark.asvs("16.2.5")
def test_access_line_does_not_contain_an_unknown_method(probe, runtime):
    """As in ``curl -X "$TOKEN"``."""
    probe.request("eyJ-AS-THE-METHOD", "/echo/a/b")
    wait_until(lambda: "(no route) 403, " in runtime.log)
    assert "eyJ-AS" not in runtime.log.split("Serving ")[-1]


@pytest.mark.asvs("13.4.6")
def test_response_has_binary_body_and_no_server_header(probe):
    response = probe.get("/image", headers={"Accept": "image/png"})
    assert (response.headers["content-type"], response.content) == ("image/png", PNG)
    assert "server" not in response.headers
    assert probe.get("/cookies").headers.get_list("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nowhere"), ("POST", "/image"), ("GET", "/image/"), ("GET", "/")]
)
def test_request_without_a_route_gets_a_gateway_response(probe, method, path):
    response = probe.request(method, path)
    assert (response.status_code, response.json()) == (403, {"message": "Missing Authentication Token"})


def test_file_of_the_public_folder_is_served(probe):
    for method, text in (("GET", "a public file\n"), ("HEAD", "")):
        response = probe.request(method, "/hello.txt")
        assert (response.status_code, response.text) == (200, text)


@pytest.mark.asvs("3.4.4", "3.4.5", "3.4.6")
def test_files_are_served_with_headers_that_protect_a_page(probe):
    first = probe.get("/hello.txt")
    again = probe.get("/hello.txt", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    for response in (first, again):
        assert dict(response.headers).items() >= {
            ("cache-control", "no-cache"),
            ("content-security-policy", "frame-ancestors 'none'"),
            ("cross-origin-opener-policy", "same-origin"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
        }


@pytest.mark.asvs("13.4.1")
@pytest.mark.parametrize("path", ["/../template.yaml", "/%2e%2e/template.yaml", "/..%2ftemplate.yaml"])
def test_file_outside_the_public_folder_is_not_served(probe, path):
    # A raw request, because the client would normalise the path.
    url = probe.base_url
    with probe.stream("GET", httpx.URL(f"{url.scheme}://{url.netloc.decode()}", raw_path=path.encode())) as response:
        assert response.status_code == 403


def call_protected(probe, token=None, path="/protected/1"):
    return probe.get(path, headers={"Authorization": token} if token else {})


def test_allowed_request_has_the_authorizers_cached_context(probe, probe_data):
    token = "Allow arn:aws:execute-api:*/GET/protected/*"
    for path in ("/protected/1", "/protected/2", "/protected/1"):
        event = call_protected(probe, token, path).json()["event"]
        assert event["requestContext"]["authorizer"] == {"tier": "3", "principalId": "ann"}
    assert (probe_data / "authorizer-calls").read_text().splitlines().count(token) == 1


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
def test_request_that_the_authorizer_does_not_allow_is_rejected(probe, token, status):
    response = call_protected(probe, token)
    assert response.status_code == status
    assert response.json().keys() == {"message"}


def test_functions_with_a_schedule_run_once_at_start(runtime, probe_data):
    events = probe_data / "weekly-events"
    wait_until(lambda: events.exists() and events.read_text())
    assert events.read_text() == "{}\n"
    wait_until(lambda: "Nightly: nothing to do at night" in runtime.log)


def test_function_for_after_requests_runs_after_each_request(runtime, probe, probe_data):
    runs = probe_data / "afterwards"
    wait_until(runs.exists)
    for _ in range(2):
        runs.write_text("")
        assert probe.get("/image").status_code == 200
        wait_until(runs.read_text)


def test_function_with_a_schedule_runs_again_after_its_interval(tmp_path):
    template = load_template(PROBE_PROJECT / "template.yaml")
    weekly = next(function for function in template.functions if function.name == "Weekly")
    environment = {"DATA_DIR": str(tmp_path)}
    often = replace(template, routes=(), functions=(replace(weekly, interval=0.05, environment=environment),))
    runs = tmp_path / "weekly-events"

    def has_run_three_times():
        return runs.exists() and len(runs.read_text().splitlines()) >= 3

    async def serve_until_it_has_run_three_times(factory):
        service = Service(often, factory)
        await asyncio.to_thread(wait_until, has_run_three_times)
        service.close()

    with worker_factory(tmp_path) as factory:
        asyncio.run(serve_until_it_has_run_three_times(factory))


def test_function_that_exceeds_its_timeout_is_killed_and_replaced(probe, probe_data):
    response = probe.get("/slow")
    assert (response.status_code, response.json()) == (502, {"message": "Internal server error"})
    ended = int((probe_data / "slow.pid").read_text())
    wait_until(lambda: not is_running(ended))
    assert probe.get("/slow").json()["pid"] != ended


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/crashing/exit", ""),
        ("/crashing/killed", ""),
        ("/crashing/raise", "ValueError: the password is on the next line"),
        ("/crashing/malformed", "Crashing: malformed proxy response: "),
        ("/crashing/unserialisable", ""),
        ("/unimportable", "No module named 'missing'"),
    ],
)
def test_failure_of_a_function_is_a_502_without_its_reason(probe, runtime, path, reason):
    response = probe.get(path)
    assert (response.status_code, response.json()) == (502, {"message": "Internal server error"})
    wait_until(lambda: reason in runtime.log)
    assert probe.get("/crashing/not").status_code == 200


def test_worker_that_was_killed_while_idle_is_replaced(probe):
    idle = probe.get("/crashing/not").json()["pid"]
    os.kill(idle, signal.SIGKILL)
    wait_until(lambda: not is_running(idle))
    assert probe.get("/crashing/not").status_code == 200


def test_body_over_six_megabytes_is_rejected(probe):
    size = LIMIT - 10_000
    assert len(echo(probe, "POST", content=b"a" * size)["event"]["body"]) == size
    # The limit applies to the encoded body.
    for size, media_type in ((LIMIT, "text/plain"), (11 * 1024 * 1024, "text/plain"), (LIMIT * 4 // 5, "image/png")):
        response = probe.post("/echo/a/b", headers={"Content-Type": media_type}, content=b"a" * size)
        assert (response.status_code, response.json()) == (413, {"message": "Request Too Long"})
    assert len(probe.get(f"/large/{LIMIT - 10_000}").content) == LIMIT - 10_000
    assert probe.get(f"/large/{LIMIT}").status_code == 502


def test_long_header_reaches_the_function(probe):
    assert len(echo(probe, headers={"X-Long": "a" * 100_000})["event"]["headers"]["x-long"]) == 100_000


async def meet(url, *, requests, meeting, attendants):
    """Send requests at the same time. The function responds when enough workers are in it."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        query = {"meeting": meeting, "attendants": attendants}
        calls = (client.get("/meeting", params=query) for _ in range(requests))
        return [response.json() for response in await asyncio.gather(*calls)]


@pytest.mark.parametrize(("requests", "workers"), [(4, 4), (20, 8)])
def test_parallel_requests_have_up_to_eight_workers(probe, requests, workers):
    responses = asyncio.run(meet(probe.base_url, requests=requests, meeting=f"of-{requests}", attendants=workers))
    assert len(responses) == requests
    assert len({response["pid"] for response in responses}) == workers
    assert {response["met"] for response in responses} == {workers}


def test_disconnected_client_causes_no_error(probe, runtime):
    before = len(runtime.log)
    with socket.create_connection(("127.0.0.1", probe.base_url.port)) as connection:
        connection.sendall(b"POST /echo/a/b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nonly this")
    assert echo(probe)["pid"]
    assert "Traceback" not in runtime.log[before:]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_runtime_that_ends_during_a_request_leaves_no_process(tmp_path, number):
    with running_runtime(tmp_path, project=PROBE_PROJECT) as runtime, ThreadPoolExecutor() as clients:
        parent = httpx.get(f"{runtime.url}/echo/a/b", timeout=60).json()["parent"]
        running_request = clients.submit(httpx.get, f"{runtime.url}/meeting?meeting=alone&attendants=2", timeout=60)
        wait_until(lambda: list(tmp_path.glob("alone/*")))
        (worker,) = (int(file.name) for file in tmp_path.glob("alone/*"))
        runtime.process.send_signal(number)
        if number == signal.SIGINT:
            assert running_request.result().status_code == 502
            assert runtime.process.wait(60) == 0
            assert not is_running(worker)
            assert not is_running(parent)
            assert "Exception in ASGI application" not in runtime.log
        wait_until(lambda: not is_running(worker) and not is_running(parent))
