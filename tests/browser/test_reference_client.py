"""The example page, with the client of public/client/, on another origin than the service, as its README says."""

import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.documentation import PAGES, blocks
from tests.support.factories import PASSWORD, registration
from tests.support.processes import free_port, wait_until
from tests.support.runtime import PROJECT, running_service
from tools.demo.chromium import NO_AUTOFILL, add_authenticator

pytestmark = [pytest.mark.browser, pytest.mark.pages, pytest.mark.sessions]

README = PROJECT / "examples/spa/README.md"


def is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the example, copied and served by the commands of its README, with other ports."""
    folder = tmp_path_factory.mktemp("example") / "my-app"
    port = free_port()
    origin = f"http://localhost:{port}"
    copying, starting = blocks(PAGES[README], "sh")
    setting, *make_run = shlex.split(starting)
    assert make_run == ["make", "run"]
    name, _, origins = setting.replace("http://localhost:3000", origin).partition("=")
    *copies, serve = [
        [folder / word.removeprefix("my-app").strip("/") if word.startswith("my-app") else word for word in words]
        for words in map(shlex.split, copying.splitlines())
    ]
    for command in copies:
        subprocess.run(command, cwd=PROJECT, check=True)
    serve = [{"python3": sys.executable, "3000": str(port)}.get(str(word), word) for word in serve]
    with running_service(tmp_path_factory.mktemp("reference") / "data", **{name: origins}) as url:
        for file in (folder / "app.js", folder / "index.html"):
            replace_in(file, "http://localhost:8000", url)
        with subprocess.Popen(serve, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                wait_until(lambda: is_listening(port))
                yield origin
            finally:
                server.terminate()


def replace_in(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.fixture
def page(chromium, example) -> Iterator[Page]:
    with chromium.new_context() as context:
        context.add_init_script(NO_AUTOFILL)
        yield open_page(context, example)


def open_page(context: BrowserContext, example: str) -> Page:
    page = context.new_page()
    page.set_default_timeout(30_000)
    add_authenticator(page)
    page.goto(example)
    return page


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def sign_up(page: Page, email: str) -> None:
    """Register with the client, because the example has no form for it."""
    person = registration(email=email)
    client = "import('/client/secure-backend.js')"
    page.evaluate(
        f"async ([url, body]) => {{ const {{ SecureBackend }} = await {client};"
        " await new SecureBackend({ url }).send('POST', '/users', { body }); }",
        [service_url(page), person],
    )


def service_url(page: Page) -> str:
    policy = page.locator("meta[http-equiv]").get_attribute("content")
    assert policy
    return policy.partition("connect-src ")[2].partition(";")[0]


def log_in(page: Page, email: str) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    press(page, "Log in")


@pytest.mark.asvs("3.4.2")
def test_example_on_another_origin_uses_passwords_passkeys_and_step_up(page):
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    email = "spa@example.com"
    sign_up(page, email)
    log_in(page, email)
    expect(page.locator("#me")).to_have_text(f"Test Person, {email}")
    press(page, "Add a passkey")
    expect(page.locator("#passkeys")).to_have_text("My passkey")
    press(page, "Log out")
    expect(page.get_by_role("status")).to_have_text("You are logged out.")

    log_in(page, email)
    press(page, "Use your passkey")
    expect(page.locator("#me")).to_contain_text(email)
    press(page, "Log out")

    # A user who cannot use the passkey gets back to the first form.
    log_in(page, email)
    press(page, "Start again")
    press(page, "Log in with a passkey")
    expect(page.locator("#me")).to_contain_text(email)

    # This authenticator has a passkey of the account already, so that the step-up and the ceremony run, and it refuses.
    press(page, "Add a passkey")
    expect(page.get_by_role("status")).to_contain_text("already has a passkey")
    press(page, "Log out")
    expect(page.locator("#passkeys")).to_be_empty()
    assert errors == []


def test_example_logs_in_with_a_passkey_of_the_autofill(chromium, example):
    """The virtual authenticator selects its passkey by itself."""
    with chromium.new_context() as context:
        page = open_page(context, example)
        email = "autofill@example.com"
        sign_up(page, email)
        log_in(page, email)
        press(page, "Add a passkey")
        expect(page.locator("#passkeys")).to_have_text("My passkey")
        page.reload()
        expect(page.locator("#me")).to_contain_text(email)


@pytest.mark.threat("page-tokens-in-browser")
def test_example_shares_its_session_with_a_second_tab_and_stores_nothing(page, example):
    email = "two-tabs@example.com"
    sign_up(page, email)
    log_in(page, email)
    expect(page.locator("#me")).to_contain_text(email)
    second = open_page(page.context, example)
    expect(second.locator("#me")).to_contain_text(email)

    # The second tab has no step-up token, so it asks for the password.
    press(second, "Add a passkey")
    proof = second.get_by_label("Your password")
    proof.fill("a wrong password of some length")
    press(second, "Confirm")
    expect(second.get_by_role("status")).not_to_be_empty()
    press(second, "Add a passkey")
    press(second, "Cancel")
    expect(proof).to_be_hidden()
    press(second, "Add a passkey")
    proof.fill(PASSWORD)
    press(second, "Confirm")
    expect(second.locator("#passkeys")).to_have_text("My passkey")

    for tab in (page, second):
        stored = "() => [localStorage.length, sessionStorage.length, document.cookie]"
        assert tab.evaluate(stored) == [0, 0, ""]
        assert tab.evaluate("async () => (await indexedDB.databases()).length + (await caches.keys()).length") == 0
    press(second, "Log out")
    expect(page.get_by_role("status")).to_have_text("You are logged out.")


def test_request_that_the_caller_aborts_throws_an_abort_error(page):
    page.route("**/health", lambda _: None)  # No response.
    error = page.evaluate(
        """async (url) => {
          const { SecureBackend } = await import("/client/secure-backend.js");
          const controller = new AbortController();
          setTimeout(() => controller.abort(), 50);
          const { send } = new SecureBackend({ url });
          return send("GET", "/health", { signal: controller.signal }).catch(({ name }) => name);
        }""",
        service_url(page),
    )
    assert error == "AbortError"


def test_rejected_access_token_is_refreshed_once_and_the_request_repeated(page):
    email = "rejected@example.com"
    sign_up(page, email)
    sent, url = [], service_url(page)
    page.on("request", lambda request: sent.append(f"{request.method} {request.url.removeprefix(url)}"))
    rejection = {"status": 401, "json": {"code": "invalid_token"}, "headers": {"Access-Control-Allow-Origin": "*"}}
    rejections = [rejection]
    page.route("**/users/*", lambda route: route.fulfill(**rejections.pop()) if rejections else route.fallback())
    log_in(page, email)
    expect(page.locator("#me")).to_contain_text(email)
    assert sent.count("POST /token/refresh") == 1
    assert len([request for request in sent if request.startswith("GET /users/")]) == 2
