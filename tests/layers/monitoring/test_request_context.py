"""The client's address: the gateway's word, or that of proxies which a setting counts."""

import pytest

from auth_common.monitoring.request_context import describe_request
from tests.support.databases import start_fresh_environment
from tests.support.events import SOURCE_IP, lambda_context, proxy_event

pytestmark = [pytest.mark.events, pytest.mark.usefixtures("environment")]


@pytest.fixture
def hops(monkeypatch):
    def trust(number):
        monkeypatch.setenv("TRUSTED_PROXY_HOPS", str(number))
        start_fresh_environment()

    return trust


def address(*lines, name="X-Forwarded-For"):
    event = proxy_event("POST", "/login")
    event["multiValueHeaders"] = {name: list(lines)} if lines else None
    return describe_request(event, lambda_context("login")).source_ip


@pytest.mark.asvs("15.3.4")
@pytest.mark.threat("gateway-forged-client-ip")
def test_x_forwarded_for_is_distrusted_by_default():
    assert address("198.51.100.1") == SOURCE_IP


@pytest.mark.asvs("4.1.3", "15.3.4")
@pytest.mark.threat("gateway-forged-client-ip")
@pytest.mark.parametrize(
    ("number", "seen"), [(1, "198.51.100.3"), (2, "198.51.100.2"), (3, "198.51.100.1"), (4, SOURCE_IP)]
)
def test_hops_are_counted_from_the_right(hops, number, seen):
    """What stands to the left of our own proxies was written by the client."""
    hops(number)
    assert address("198.51.100.1, 198.51.100.2,198.51.100.3") == seen
    assert address("198.51.100.1", "198.51.100.2, 198.51.100.3") == seen


@pytest.mark.parametrize("name", ["X-Forwarded-For", "x-forwarded-for", "X-FORWARDED-FOR"])
def test_the_headers_name_may_be_in_any_case(hops, name):
    hops(1)
    assert address("2001:DB8::1", name=name) == "2001:db8::1"


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        "unknown",
        "198.51.100.1:443",
        "[2001:db8::1]",
        "198.51.100.256",
        "fe80::1%eth0",
        "fe80::1%<b>",
        "1",
        "¹",
    ],
)
def test_what_is_malformed_counts_for_nothing(hops, line):
    hops(1)
    assert address(line) == SOURCE_IP


def test_without_the_header_the_gateway_is_believed(hops):
    hops(1)
    assert address() == SOURCE_IP


def test_a_setting_that_is_wrong_is_reported_elsewhere(hops):
    hops("many")
    assert address("198.51.100.1") == SOURCE_IP
