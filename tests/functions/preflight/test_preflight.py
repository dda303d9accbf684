"""OPTIONS on every path: which pages on other origins may call the API."""

import pytest

from auth_common.web.cors import cors_headers
from functions.preflight.app import handler
from tests.support.databases import start_fresh_environment
from tests.support.events import proxy_event
from tests.support.functions import call, call_handler
from tests.support.routes import PREFLIGHT_ROUTES, ROUTES

pytestmark = [pytest.mark.web, pytest.mark.usefixtures("environment")]

LISTED = "https://login.example.com"
#: An origin is compared as a whole. Browsers send "null" for a sandboxed page or a file.
UNLISTED = [
    "null",
    "https://evil.example",
    "http://login.example.com",
    "https://login.example.com:8443",
    "https://login.example.com.evil.example",
    "https://evil-login.example.com",
    "https://LOGIN.example.com",
    "https://login.example.com/",
    "https://login.example.com.",
    "https://login.example.com:443",
    "HTTPS://login.example.com",
    "https://login.example.com\u00a0",
    "https://l\u00f6gin.example.com",
    f"https://{'a' * 9_000}.example.com",
    f"{LISTED}, https://evil.example",
    "*",
    "",
]


def preflight(origin, path="/login"):
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return call_handler(handler, proxy_event("OPTIONS", path, headers=headers), function="preflight")


def allowed_in(response):
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


@pytest.fixture(autouse=True)
def origins(environment, monkeypatch):
    """The setting lists one page. An Android app is no page."""
    monkeypatch.setenv("WEBAUTHN_RP_ID", "example.com")
    monkeypatch.setenv("WEBAUTHN_ORIGINS", f"{LISTED},android:apk-key-hash:{'A' * 43}")
    start_fresh_environment()


def test_every_path_has_a_preflight_without_authorizer():
    assert sorted(route.path for route in PREFLIGHT_ROUTES) == sorted({route.path for route in ROUTES})
    assert {route.function.folder.name for route in PREFLIGHT_ROUTES} == {"preflight"}
    assert [route for route in PREFLIGHT_ROUTES if route.authorizer] == []


@pytest.mark.asvs("3.4.2", "3.5.2")
def test_preflight_of_a_listed_origin_allows_methods_and_headers_without_credentials():
    for route in PREFLIGHT_ROUTES:
        response = preflight(LISTED, route.path)
        assert (response.status, response.text) == (204, "")
        assert allowed_in(response) == {
            "access-control-allow-origin": LISTED,
            "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
            "access-control-allow-headers": "Authorization, Content-Type, Step-Up-Token",
            "access-control-max-age": "7200",
        }
        assert response.headers["vary"] == "Origin"


@pytest.mark.asvs("3.4.2", "3.5.2")
@pytest.mark.threat("page-csrf-or-framing")
@pytest.mark.parametrize("origin", [*UNLISTED, f"android:apk-key-hash:{'A' * 43}"])
def test_unlisted_origin_is_allowed_neither_by_preflight_nor_by_response(origin):
    headers = {"Origin": origin}
    for response in (preflight(origin), call("health", proxy_event("GET", "/health", headers=headers))):
        assert allowed_in(response) == {}
        assert response.headers["vary"] == "Origin"


@pytest.mark.asvs("3.4.2")
def test_two_origin_headers_are_not_allowed():
    event = proxy_event("OPTIONS", "/login")
    event["multiValueHeaders"] = {"Origin": [LISTED], "origin": ["https://evil.example"]}
    assert allowed_in(call_handler(handler, event, function="preflight")) == {}
    assert "Access-Control-Allow-Origin" not in cors_headers([LISTED, LISTED])


@pytest.mark.asvs("3.4.2")
def test_responses_and_errors_allow_a_listed_origin_and_show_their_headers():
    headers = {"Origin": LISTED}
    responses = [
        call("health", proxy_event("GET", "/health", headers=headers)),
        call("health", proxy_event("GET", "/health", headers=headers, query={"invented": "1"})),
        call("sessions", proxy_event("GET", "/sessions", headers=headers)),
    ]
    assert [response.status for response in responses] == [200, 422, 401]
    for response in responses:
        allowed = allowed_in(response)
        exposed = set(allowed.pop("access-control-expose-headers").split(", "))
        assert allowed == {"access-control-allow-origin": LISTED}
        assert exposed >= {
            "Retry-After",
            "RateLimit",
            "RateLimit-Policy",
            "X-Request-Id",
            "Location",
            "WWW-Authenticate",
        }


def test_setting_replaces_the_pages_of_passkeys(monkeypatch):
    monkeypatch.setenv("CORS_ORIGINS", "https://app.example.net,http://localhost:5173")
    start_fresh_environment()
    assert allowed_in(preflight("https://app.example.net"))["access-control-allow-origin"] == "https://app.example.net"
    assert allowed_in(preflight("http://localhost:5173")) != {}
    assert allowed_in(preflight(LISTED)) == {}


def test_default_port_in_the_setting_is_removed_as_browsers_do(monkeypatch):
    monkeypatch.setenv("CORS_ORIGINS", "https://app.example.net:443")
    start_fresh_environment()
    assert allowed_in(preflight("https://app.example.net"))["access-control-allow-origin"] == "https://app.example.net"


@pytest.mark.parametrize(
    "value",
    [
        *("*", "null", "https://app.example.net/", "http://app.example.net", "app.example.net"),
        *("https://*.example.net", "https://app.example.net:65536", "https://l\u00f6gin.example.net", ",", " "),
    ],
)
def test_wrong_setting_is_503_and_allows_no_origin(monkeypatch, value, log_lines):
    """The preflight logs the setting too, because a browser that gets no valid preflight sends no other request."""
    monkeypatch.setenv("CORS_ORIGINS", value)
    start_fresh_environment()
    response = call("health", proxy_event("GET", "/health", headers={"Origin": value}))
    refused = preflight(value)
    for each in (response, refused):
        assert (each.status, each.code, allowed_in(each)) == (503, "service_unavailable", {})
    assert response.headers["retry-after"] == refused.headers["retry-after"]
    assert {**refused.json, "request_id": ""} == {**response.json, "request_id": ""}
    assert [(line["function_name"], line["message"]) for line in log_lines.records] == [
        (name, "misconfigured") for name in ("health", "preflight")
    ]
