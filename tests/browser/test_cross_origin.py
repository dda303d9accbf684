"""Pages on another origin: a listed one uses the whole API, an unlisted one reads no response of a function."""

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.support.browser import Visitor
from tests.support.runtime import PROJECT, running_service
from tools.demo.chromium import NO_AUTOFILL, add_authenticator

pytestmark = [pytest.mark.browser, pytest.mark.pages]


class _BlankPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A page on another origin</title>")

    def log_message(self, *_arguments: object) -> None:
        """Write no log."""


class _File(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Write no log."""


@pytest.fixture(scope="module")
def origins() -> Iterator[list[str]]:
    """The origins of two pages."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _BlankPage) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [f"http://localhost:{server.server_port}" for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def copied_pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The folder of a copy of the pages, and its origin."""
    folder = shutil.copytree(PROJECT / "public", tmp_path_factory.mktemp("copy") / "pages")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_File, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def api(origins: list[str], copied_pages: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service that lists the first page and the copy of the pages."""
    listed = f"{origins[0]},{copied_pages[1]}"
    with running_service(tmp_path_factory.mktemp("cross-origin") / "data", WEBAUTHN_ORIGINS=listed) as url:
        yield url


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    with chromium.new_context() as context:
        yield context.new_page()


#: Defines ``send``, which returns status, body and header fields of a response as the page can read them.
SEND = """
  const send = async (method, path, body, headers = {}) => {
    const response = await fetch(api + path, {
      method,
      headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, json: text ? JSON.parse(text) : null, headers: [...response.headers.keys()],
             requestId: response.headers.get("X-Request-Id"), retryAfter: response.headers.get("Retry-After") };
  };
"""

USE_THE_API = f"""async (api) => {{
  {SEND}
  const person = {{ name: "Test Person", email: "person@example.com", date_of_birth: "1980-04-14",
                    job_title: "Engineer", password: "violet anchor seventeen drums" }};
  const registered = await send("POST", "/users", person);
  const login = await send("POST", "/login", {{ email: person.email, password: person.password }});
  const bearer = {{ Authorization: `Bearer ${{login.json.access_token}}` }};
  const stepUp = {{ ...bearer, "Step-Up-Token": login.json.step_up_token }};
  const begun = await send("POST", "/webauthn/register/begin", {{}}, stepUp);
  const options = PublicKeyCredential.parseCreationOptionsFromJSON(begun.json.options);
  const credential = await navigator.credentials.create({{ publicKey: options }});
  const added = await send("POST", "/webauthn/register/complete",
    {{ challenge_id: begun.json.challenge_id, credential: credential.toJSON() }}, bearer);
  const refreshed = await send("POST", "/token/refresh", {{ refresh_token: login.json.refresh_token }});
  const again = {{ Authorization: `Bearer ${{refreshed.json.access_token}}` }};
  const wrong = {{ email: "other@example.com", password: "wrong" }};
  for (let attempt = 0; attempt < 10; attempt += 1) await send("POST", "/login", wrong);
  return {{
    registered, login, begun, added, refreshed,
    user: await send("GET", `/users/${{registered.json.id}}`, undefined, again),
    renamed: await send("PATCH", `/webauthn/credentials/${{added.json.id}}`, {{ name: "Key" }}, again),
    missing: await send("GET", "/sessions"),
    rejected: await send("GET", "/sessions", undefined, {{ Authorization: "Bearer x" }}),
    unknown: await send("GET", "/nothing"),
    deleted: await send("DELETE", `/sessions/${{registered.json.id}}`, undefined, again),
    invalid: await send("POST", "/users", {{}}),
    limited: await send("POST", "/login", wrong),
  }};
}}"""


@pytest.mark.asvs("3.4.2")
def test_page_on_a_listed_origin_uses_the_api_and_reads_each_error(page, api, origins):
    page.goto(origins[0])
    add_authenticator(page)
    responses = page.evaluate(USE_THE_API, api)
    assert {name: response["status"] for name, response in responses.items()} == {
        "registered": 201,
        "login": 200,
        "begun": 200,
        "added": 201,
        "refreshed": 200,
        "user": 200,
        "renamed": 403,
        "missing": 401,
        "rejected": 401,
        "unknown": 404,
        "deleted": 403,
        "invalid": 422,
        "limited": 429,
    }
    assert responses["user"]["json"]["email"] == "person@example.com"
    assert "location" in responses["registered"]["headers"]
    assert int(responses["limited"]["retryAfter"]) > 0
    assert {"ratelimit", "ratelimit-policy"} <= {*responses["limited"]["headers"]}
    for name in ("missing", "rejected"):
        assert "www-authenticate" in responses[name]["headers"]
    for name, response in responses.items():
        assert response["requestId"], name
        if response["status"] >= 400:
            assert response["json"]["status"] == response["status"]


READ_OR_NONE = f"""async ([api, method, path, headers]) => {{
  {SEND}
  try {{ return (await send(method, path, undefined, headers)).status; }} catch (error) {{ return error.name; }}
}}"""


@pytest.mark.asvs("3.4.2", "3.5.2")
@pytest.mark.threat("page-csrf-or-framing")
def test_page_on_an_unlisted_origin_reads_no_response_of_a_function(page, api, origins):
    page.goto(origins[1])
    requests = [
        ("GET", "/health", {}),
        ("GET", "/.well-known/jwks.json", {}),
        ("GET", "/sessions", {"Authorization": "Bearer x"}),
        ("DELETE", "/sessions", {}),
        ("POST", "/login", {"Content-Type": "application/json"}),
        ("POST", "/token/refresh", {}),
    ]
    read = {
        f"{method} {path}": page.evaluate(READ_OR_NONE, [api, method, path, sent]) for method, path, sent in requests
    }
    assert read == dict.fromkeys(read, "TypeError")


def test_copy_of_the_pages_on_another_origin_uses_the_api(chromium, copied_pages, api):
    """With the two changes that docs/deploy.md names."""
    pages, origin = copied_pages
    backend = pages / "scripts/backend.js"
    backend.write_text(backend.read_text().replace("SecureBackend()", f'SecureBackend({{ url: "{api}" }})'))
    for page in pages.glob("*.html"):
        page.write_text(page.read_text().replace("connect-src 'self'", f"connect-src {api}"))
    with chromium.new_context() as context:
        context.add_init_script(NO_AUTOFILL)
        visitor = Visitor(context.new_page(), origin)
        visitor.register()
        visitor.press("Log in")
        visitor.expect_logged_in()
        visitor.add_passkey()
        visitor.log_out()
        visitor.log_in_with_passkey()
