"""The pages as a deployment publishes them, with the API under the same origin, behind a stand-in for CloudFront."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import expect

from tests.support.browser import Visitor
from tests.support.callers import caller_with_role
from tests.support.distribution import StandIn, running_distribution
from tests.support.factories import registration
from tests.support.proxies import FORWARDED_IP, LOCK, accepting, sent_by_proxy
from tests.support.runtime import running_service
from tests.support.security_page import Auditor

pytestmark = [pytest.mark.browser, pytest.mark.pages]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("published") / "data"


@pytest.fixture(scope="module")
def published(folder) -> Iterator[StandIn]:
    with (
        running_distribution() as stand_in,
        running_service(folder, WEBAUTHN_ORIGINS=stand_in.url, **accepting(LOCK)) as api,
    ):
        stand_in.api = api
        yield stand_in


@pytest.fixture
def open_page(published, new_window):
    """Return a function that opens a page. After the test, fail if the browser reported an error."""
    visitors = []

    def open_it(path):
        visitors.append(Visitor(new_window(), published.url, path=path))
        return visitors[-1]

    yield open_it
    for visitor in visitors:
        visitor.free_window()
        assert visitor.browser_errors == []
        assert [request for request in visitor.requests if not request.startswith(f"{published.url}/")] == []


@pytest.mark.threat("pages-path-confusion")
def test_user_logs_in_with_a_passkey_at_the_published_page(published, open_page):
    visitor = open_page("/")
    visitor.register()
    visitor.press("Log in")
    visitor.expect_logged_in()
    visitor.add_passkey()
    visitor.log_out()
    visitor.log_in_with_passkey()
    expect(visitor.page.get_by_text(FORWARDED_IP).first).to_be_visible()
    assert visitor.error_statuses == []
    # The API got each of its own requests, and no request for a file.
    assert {"/users", "/login", "/webauthn/login/complete"} <= set(published.api_paths)
    assert [path for path in published.api_paths if path.endswith((".js", ".css", ".svg", ".html"))] == []


def test_security_officer_reads_the_audit_log_at_the_published_page(published, folder, open_page):
    with httpx.Client(base_url=published.url, timeout=60) as client:
        officer = caller_with_role("security", client, folder)
        officer.headers()
        auditor = Auditor(open_page("/security.html"), officer)
    expect(auditor.page.get_by_text(FORWARDED_IP).first).to_be_visible()


@pytest.mark.threat("gateway-forged-client-ip")
def test_client_without_cloudfront_cannot_choose_its_ip(published, folder):
    """The attacker knows the gateway's URL, and sends each field that CloudFront sends, but not the lock."""
    body = registration(email="direct@example.com")
    forged = sent_by_proxy("192.0.2.66", lock="forged") | {"X-Forwarded-For": "192.0.2.66"}
    assert httpx.post(f"{published.api}/users", json=body, headers=forged, timeout=60).status_code == 201
    assert httpx.post(f"{published.url}/users", json=registration(), headers=forged, timeout=60).status_code == 201
    log = (folder / "runtime.log").read_text()
    assert "192.0.2.66" not in log
    assert FORWARDED_IP in log
    assert LOCK not in log
