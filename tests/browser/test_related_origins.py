"""Related origins (WebAuthn section 5.11): Chromium reads the served document, whatever its resource policy says."""

import base64
import hashlib
import ssl
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, Page

from tests.support.factories import registration
from tests.support.impostors import self_signed_certificate
from tests.support.runtime import running_service
from tools.demo.chromium import ARGUMENTS, add_authenticator, find_chromium

pytestmark = [pytest.mark.browser, pytest.mark.pages, pytest.mark.passkeys]

RP_ID = "rp.test"
LISTED = "https://login.related.test"
UNLISTED = "https://login.unlisted.test"
DOCUMENT = "/.well-known/webauthn"

#: Creates a passkey with the options of the service at the RP ID's origin, stores it, and logs in with it. Returns the
#: name of the browser's error, or how the user has logged in.
ADD_AND_USE_PASSKEY = """async (person) => {
  const headers = { "Content-Type": "application/json" };
  const post = async (path, body, tokens = {}) => {
    const response = await fetch(`https://rp.test${path}`,
      { method: "POST", headers: { ...headers, ...tokens }, body: JSON.stringify(body) });
    return response.json();
  };
  await post("/users", person);
  const { email, password } = person;
  const { access_token, step_up_token } = await post("/login", { email, password });
  const tokens = { Authorization: `Bearer ${access_token}`, "Step-Up-Token": step_up_token };
  const begun = await post("/webauthn/register/begin", {}, tokens);
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(begun.options);
  try {
    const credential = await navigator.credentials.create({ publicKey });
    await post("/webauthn/register/complete", { challenge_id: begun.challenge_id, credential }, tokens);
  } catch (error) {
    return error.name;
  }
  const login = await post("/webauthn/login/begin", {});
  const used = await navigator.credentials.get(
    { publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(login.options) });
  const session = await post("/webauthn/login/complete", { challenge_id: login.challenge_id, credential: used });
  return session.token_type;
}"""


class Site:
    """Serves blank pages of all hosts over HTTPS, and on the RP ID's host the API."""

    def __init__(self, api: str) -> None:
        self.api = api
        #: The header fields of each response with the document.
        self.documents: list[dict[str, str]] = []

    def handler(site) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler below
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path != "/" or self.headers["Host"] == RP_ID:
                    self.call_api()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<!doctype html><title>A page</title><link rel=icon href=data:,>")

            def call_api(self) -> None:
                connection = HTTPConnection(urlsplit(site.api).netloc, timeout=60)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                sent = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                connection.request(self.command, self.path, body, sent)
                response = connection.getresponse()
                content = response.read()
                connection.close()
                if self.path == DOCUMENT:
                    site.documents.append({name.lower(): value for name, value in response.getheaders()})
                self.send_response(response.status)
                for name, value in response.getheaders():
                    if name.lower() not in {"transfer-encoding", "connection"}:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_OPTIONS = call_api  # noqa: N815 - names of BaseHTTPRequestHandler

            def log_message(self, *_: object) -> None:
                """Write no log."""

        return Handler


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = {"WEBAUTHN_ORIGINS": f"https://{RP_ID},{LISTED}", "CORS_ORIGINS": f"{LISTED},{UNLISTED}"}
    folder = tmp_path_factory.mktemp("related") / "data"
    with running_service(folder, WEBAUTHN_RP_ID=RP_ID, **settings) as api:
        yield Site(api)


@pytest.fixture(scope="module")
def browser(site: Site, chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A Chromium that finds all names under .test at the site, and trusts its certificate."""
    pem = self_signed_certificate(tmp_path_factory.mktemp("certificate"))
    key = x509.load_pem_x509_certificate(pem.read_bytes()).public_key()
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with ThreadingHTTPServer(("127.0.0.1", 0), site.handler()) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        arguments = [
            *ARGUMENTS,
            f"--host-resolver-rules=MAP *.test 127.0.0.1:{server.server_port}",
            f"--ignore-certificate-errors-spki-list={base64.b64encode(digest).decode()}",
        ]
        browser = chromium.browser_type.launch(executable_path=find_chromium(), args=arguments)
        try:
            yield browser
        finally:
            browser.close()
            server.shutdown()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        page = context.new_page()
        add_authenticator(page)
        yield page


def add_and_use_passkey(page: Page, origin: str, email: str) -> str:
    page.goto(origin)
    return str(page.evaluate(ADD_AND_USE_PASSKEY, registration(email=email)))


def test_related_origin_in_the_served_document_adds_and_uses_a_passkey(page: Page, site: Site) -> None:
    """``Cross-Origin-Resource-Policy: same-origin`` does not stop the browser, which reads the document itself."""
    site.documents.clear()
    assert add_and_use_passkey(page, LISTED, "related@example.com") == "Bearer"
    assert {fields["cross-origin-resource-policy"] for fields in site.documents} == {"same-origin"}


@pytest.mark.threat("page-look-alike")
def test_origin_that_the_document_does_not_list_gets_no_passkey(page: Page, site: Site) -> None:
    """This page may call the API too, so that only the browser rejects it."""
    site.documents.clear()
    assert add_and_use_passkey(page, UNLISTED, "unlisted@example.com") == "SecurityError"
    assert site.documents
