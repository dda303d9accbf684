"""The client IP: from the gateway, or from trusted proxies if ``TRUSTED_PROXY_HOPS`` counts some."""

import pytest

from auth_common.events.request_context import describe_request
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


@pytest.mark.asvs("4.1.3", "15.3.4")
@pytest.mark.threat("gateway-forged-client-ip")
@pytest.mark.parametrize(("number", "seen"), [(0, None), (1, 3), (2, 2), (3, 1), (4, None), ("x", None)])
def test_trusted_hops_are_counted_from_the_right(hops, number, seen):
    """By default there are none. The client may have written everything to the left of the trusted proxies."""
    if number:
        hops(number)
    client_ip = f"198.51.100.{seen}" if seen else SOURCE_IP
    assert address("198.51.100.1, 198.51.100.2,198.51.100.3") == client_ip
    assert address("198.51.100.1", "198.51.100.2, 198.51.100.3") == client_ip


def test_header_name_is_read_in_any_case_and_may_be_missing(hops):
    hops(1)
    for name in ("X-Forwarded-For", "x-forwarded-for", "X-FORWARDED-FOR"):
        assert address("2001:DB8::1", name=name) == "2001:db8::1"
    assert address() == SOURCE_IP


MALFORMED = [
    *("", " ", "unknown", "_hidden", "_SEVKISEK:443", "unknown:443", "[unknown]", "[2001:db8::1", "[2001:db8::1]:x"),
    *("198.51.100.1:123456", "198.51.100.1:443:443", '"', '""', "[fe80::1%eth0]:443", "203.0.113.0/24", "x" * 10_000),
    *("198.51.100.256", "fe80::1%eth0", "fe80::1%<b>", "1", "¹"),
]


@pytest.mark.threat("gateway-forged-client-ip")
def test_malformed_or_empty_part_is_ignored_and_is_a_hop(hops):
    """If a trusted proxy has written nothing, a text of the client must not take its place."""
    hops(1)
    assert {line for line in MALFORMED if address(line) != SOURCE_IP} == set()
    hops(2)
    assert address("198.51.100.66, , 192.0.2.1") == SOURCE_IP
    assert address("198.51.100.66, 203.0.113.9,, 192.0.2.1") == SOURCE_IP


NODES = {
    "203.0.113.9": [
        *("203.0.113.9:51008", "203.0.113.9:_port", '"203.0.113.9:51008"', "[203.0.113.9]:443", "::ffff:203.0.113.9"),
        *("[::ffff:203.0.113.9]:443", "::FFFF:CB00:7109"),
    ],
    "2001:db8::1": [
        *("[2001:db8::1]", '"[2001:db8::1]"', "[2001:db8::1]:443", "2001:db8::1", ' "[2001:DB8:0:0::1]:443" '),
    ],
}


def test_port_brackets_and_quotes_of_a_proxy_are_stripped(hops):
    """RFC 7239 section 6. Load balancers also write ports into X-Forwarded-For."""
    hops(2)
    for client_ip, nodes in NODES.items():
        assert {address(f"198.51.100.66, {node}, 192.0.2.1") for node in nodes} == {client_ip}


def test_proxy_that_writes_no_ip_is_logged_once(hops, capsys):
    hops(1)
    for line in ("unknown", "_hidden", "", "203.0.113.9"):
        address(line)
    warnings = [line for line in capsys.readouterr().out.splitlines() if '"trusted_proxy_hops":1' in line]
    assert len(warnings) == 1
    hops(1)
    address("203.0.113.9:443")
    address()
    assert "trusted_proxy_hops" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:0DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("2001:db8::0.0.0.1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("test-invoke-source-ip", "test-invoke-source-ip"),
        ("x" * 100, "x" * 45),
    ],
)
def test_client_ip_of_the_gateway_has_one_spelling(spelling, canonical):
    event = proxy_event("POST", "/login", sourceIp=spelling)
    assert describe_request(event, lambda_context("login")).source_ip == canonical
