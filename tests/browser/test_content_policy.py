"""The Content-Security-Policy of the pages, in their HTML and in the browser, and the files that they load."""

import re
from hashlib import sha256
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.pages

PUBLIC = Path(__file__).parents[2] / "public"
PAGES = sorted(PUBLIC.glob("*.html"))
VENDOR = PUBLIC / "vendor"
SCRIPTS = sorted(PUBLIC.rglob("*.js"))
FILES = sorted(path for path in PUBLIC.rglob("*") if path.is_file())

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self'",
    "form-action": "'none'",
    "base-uri": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}

#: Functions that turn text into HTML or code, and storage that every script of the origin can read.
SINKS = (
    *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"),
    *("localStorage.", "sessionStorage.", "document.cookie"),
)


def name(path):
    return path.relative_to(PUBLIC).as_posix()


class Elements(HTMLParser):
    """The elements of an HTML page, as pairs of tag and attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page.read_text())

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.mark.asvs("14.2.3")
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_page_loads_only_its_own_files_and_has_no_inline_code(page):
    elements = Elements(page).found
    metas = [attrs for tag, attrs in elements if tag == "meta" and "http-equiv" in attrs]
    (policy,) = [meta["content"] for meta in metas if meta["http-equiv"] == "Content-Security-Policy"]
    assert dict(directive.strip().split(" ", 1) for directive in policy.split(";")) == POLICY
    # A policy in a meta element applies only to the elements after it.
    text = page.read_text()
    assert text.index("Content-Security-Policy") < min(text.index("<link"), text.index("<script"))
    for tag, attrs in elements:
        assert tag != "style"
        assert "style" not in attrs
        assert [attribute for attribute in attrs if attribute.startswith("on")] == []
        assert tag != "script" or attrs.keys() == {"type", "src"}
        loaded = attrs.get("src") if tag != "link" else attrs["href"]
        assert not loaded or (PUBLIC / loaded).is_file(), loaded


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_script_has_no_html_sinks_and_only_existing_imports(script):
    text = script.read_text()
    assert [sink for sink in SINKS if sink in text] == []
    imports = re.findall(r'^import .*?"(.*?)"|from "(.*?)"', text, re.MULTILINE)
    assert [module for pair in imports for module in pair if module and not (script.parent / module).is_file()] == []


def test_vendored_file_matches_the_hash_in_its_readme():
    """The README names source, version and licence of exactly these bytes."""
    folders = list(VENDOR.iterdir())
    assert folders != []
    for folder in folders:
        note = (folder / "README.md").read_text()
        listed = dict(re.findall(r"^\| `(\S+)` \| `\S+` \| `([0-9a-f]{64})` \|$", note, re.MULTILINE))
        found = {file.name: sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
        found.pop("README.md")
        assert found == listed
        assert "LICENSE.txt" in found
        assert re.search(r"^- Source: https://", note, re.MULTILINE)


def test_both_pages_have_the_same_login_forms():
    """Without a build step, the forms are repeated in both pages."""
    pages = [(PUBLIC / page).read_text() for page in ("index.html", "security.html")]
    for heading in ("login-heading", "second-factor-heading"):
        section = rf'<section class="card" aria-labelledby="{heading}".*?</section>'
        found = [[re.sub(r"\s+", " ", text) for text in re.findall(section, page, re.DOTALL)] for page in pages]
        assert len(found[0]) == 1
        assert found[0] == found[1]


TYPES = {".html": "html", ".css": "css", ".js": "javascript", ".md": "markdown", ".txt": "plain"}


@pytest.mark.browser
def test_public_file_is_served_with_its_type_and_headers(client):
    for file in FILES:
        headers = client.get(f"/{name(file)}").raise_for_status().headers
        media_type = "image/svg+xml" if file.suffix == ".svg" else f"text/{TYPES[file.suffix]}"
        assert headers["content-type"].partition(";")[0] == media_type
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "frame-ancestors 'none'"


@pytest.mark.threat("page-xss")
@pytest.mark.browser
@pytest.mark.parametrize(
    "attack",
    [
        "document.body.append(Object.assign(document.createElement('img'), {src: 'https://attacker.example/'}))",
        "document.body.setAttribute('onclick', 'alert(1)')",
        "document.body.innerHTML = '<b>x</b>'",
        "setTimeout('alert(1)')",
        "fetch('https://attacker.example/').catch(() => {})",
        "document.body.setAttribute('style', 'color: red')",
    ],
)
def test_injected_code_is_blocked_by_the_content_policy(visit, attack):
    visitor = visit()
    expect(visitor.status).to_be_attached()
    visitor.page.evaluate(
        """attack => new Promise((resolve, reject) => {
          setTimeout(() => reject(new Error("the policy blocked nothing")), 30000);
          document.addEventListener("securitypolicyviolation", () => resolve());
          try { attack() } catch {}
        })""".replace("attack()", attack)
    )
    visitor.browser_errors.clear()
    visitor.requests.clear()


@pytest.fixture
def other_site(url):
    """A page of another origin that frames the service's page, a response of the service, and a page of its own."""
    framed = (f"{url}/", f"{url}/.well-known/jwks.json", "/own")
    page = "".join(f'<iframe src="{source}"></iframe>' for source in framed)

    class OtherSite(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"May be framed." if self.path == "/own" else page.encode())

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), OtherSite) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.threat("page-csrf-or-framing")
@pytest.mark.browser
def test_other_site_cannot_frame_the_page_or_a_response(visit, other_site):
    visitor = visit()
    visitor.page.goto(other_site)
    page, response, own = visitor.page.frames[1:]
    expect(own.locator("body")).to_have_text("May be framed.")
    page.wait_for_url("chrome-error://chromewebdata/")
    response.wait_for_url("chrome-error://chromewebdata/")
    visitor.browser_errors.clear()
    visitor.requests.clear()
