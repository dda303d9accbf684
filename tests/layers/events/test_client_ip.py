"""The client IP: the gateway's, or the one that a proxy with the lock reports. Clients try to choose it."""

import pytest
from sqlalchemy import select

from auth_common.database.tables import sessions
from auth_common.events.client_ip import PROXY_REJECTED_METRIC
from auth_common.events.request_context import describe_request
from tests.support.databases import start_fresh_environment
from tests.support.events import SOURCE_IP, authorizer_event, json_event, lambda_context, proxy_event
from tests.support.factories import EMAIL, PASSWORD, register
from tests.support.functions import call, call_authorizer
from tests.support.proxies import FORWARDED_IP, LOCK, accepting, sent_by_proxy

pytestmark = [pytest.mark.events, pytest.mark.usefixtures("environment")]

OLD_LOCK, NEW_LOCK = "Old12" * 12 + "abcd", "New34" * 12 + "abcd"


@pytest.fixture
def accept(monkeypatch):
    """Return a function that starts a new environment, whose functions accept these locks."""

    def set_them(*locks):
        monkeypatch.setenv("PROXY_LOCKS", accepting(*locks)["PROXY_LOCKS"])
        start_fresh_environment()

    return set_them


def seen(fields, **identity):
    """Return the client IP of a request with these values of header fields, as functions and authorizer see it."""
    client_ips = set()
    for event in (proxy_event("POST", "/login", **identity), authorizer_event(None)):
        event["requestContext"]["identity"].update(identity)
        # API Gateway passes the last value in ``headers``, and all of them in ``multiValueHeaders``.
        event["headers"] = {name: values[-1] for name, values in fields.items() if values}
        event["multiValueHeaders"] = fields
        client_ips.add(describe_request(event, lambda_context("login")).source_ip)
    (client_ip,) = client_ips
    return client_ip


def of_proxy(client_ip=FORWARDED_IP, *, lock=LOCK):
    return {name: [value] for name, value in sent_by_proxy(client_ip, lock=lock).items()}


@pytest.mark.asvs("4.1.3", "15.3.4")
@pytest.mark.threat("gateway-forged-client-ip")
def test_forwarded_ip_counts_only_with_the_lock(accept):
    """The attacker calls the gateway without the proxy, and may send any header field."""
    forged = {"X-Client-IP": [FORWARDED_IP], "X-Forwarded-For": [FORWARDED_IP], "Forwarded": [f"for={FORWARDED_IP}"]}
    assert seen(forged | of_proxy()) == SOURCE_IP  # no lock is accepted
    accept(LOCK)
    assert seen(of_proxy()) == FORWARDED_IP
    assert seen(forged) == SOURCE_IP
    assert seen({**forged, "X-Proxy-Lock": []}) == SOURCE_IP


WRONG_LOCKS = [
    *("", " ", LOCK[:-1], f"{LOCK}x", f" {LOCK}", f"{LOCK},{LOCK}", f"{LOCK}, x", LOCK.lower(), "x" * 100_000),
    *(accepting(LOCK)["PROXY_LOCKS"], "\ud800", "é", "\x00", "*", "null"),
]


@pytest.mark.threat("gateway-forged-client-ip")
def test_wrong_lock_counts_as_no_lock(accept):
    """The hash in the functions' configuration is not the lock."""
    accept(LOCK, NEW_LOCK)
    assert {lock for lock in WRONG_LOCKS if seen(of_proxy(lock=lock)) != SOURCE_IP} == set()


@pytest.mark.threat("gateway-forged-client-ip")
def test_repeated_or_missing_header_fields_are_not_believed(accept):
    """CloudFront replaces each of the two fields, so a request of the proxy has one value of each."""
    accept(LOCK)
    lock, own = {"X-Proxy-Lock": [LOCK]}, {"X-Client-IP": [FORWARDED_IP]}
    attempts = [
        {**own, "X-Proxy-Lock": [LOCK, LOCK]},
        {**own, "X-Proxy-Lock": ["x", LOCK]},
        {**own, "X-Proxy-Lock": [LOCK, "x"]},
        {**own, "X-Proxy-Lock": [LOCK], "x-proxy-lock": ["x"]},
        {**lock, "X-Client-IP": [FORWARDED_IP, FORWARDED_IP]},
        {**lock, "X-Client-IP": ["192.0.2.66", FORWARDED_IP]},
        {**lock, "X-Client-IP": [FORWARDED_IP], "x-client-ip": ["192.0.2.66"]},
        {**lock, "X-Client-IP": []},
        lock,
    ]
    assert [fields for fields in attempts if seen(fields) != SOURCE_IP] == []


def test_lock_is_rotated_without_losing_a_client_ip(accept):
    for accepted in ([OLD_LOCK], [OLD_LOCK, NEW_LOCK], [NEW_LOCK, OLD_LOCK], [NEW_LOCK]):
        accept(*accepted)
        found = {lock for lock in (OLD_LOCK, NEW_LOCK) if seen(of_proxy(lock=lock)) == FORWARDED_IP}
        assert found == set(accepted)


MALFORMED = [
    *("", " ", "unknown", "198.51.100.9:443", "[2001:db8::1]", "[2001:db8::1]:443", "198.51.100.9, 192.0.2.1"),
    *("198.51.100.256", "fe80::1%eth0", "fe80::1%<b>", "1", "¹", '"198.51.100.9"', "203.0.113.0/24", "x" * 10_000),
    *(" 198.51.100.9", "198.51.100.9\n", "\ud800"),
]


@pytest.mark.threat("gateway-forged-client-ip")
def test_malformed_ip_of_a_proxy_is_ignored(accept):
    """The firewall counts by the same field, and accepts bare IPs only."""
    accept(LOCK)
    assert {text for text in MALFORMED if seen(of_proxy(text)) != SOURCE_IP} == set()


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:0DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("2001:db8::0.0.0.1", "2001:db8::1"),
    ],
)
def test_client_ip_has_one_spelling(accept, spelling, canonical):
    assert seen({}, sourceIp=spelling) == canonical
    accept(LOCK)
    assert seen(of_proxy(spelling)) == canonical


@pytest.mark.parametrize(
    ("reported", "shown"),
    [("fe80::1%eth0", "fe80::1"), ("test-invoke-source-ip", "test-invoke-source-ip"), ("x" * 100, "x" * 45)],
)
def test_gateway_may_report_something_else_than_an_ip(reported, shown):
    """The test console of API Gateway does."""
    assert seen({}, sourceIp=reported) == shown


@pytest.mark.threat("gateway-forged-client-ip", "deployment-lock-rotation")
def test_wrong_lock_or_missing_ip_is_counted_and_logged_without_the_lock(accept, log_lines):
    """The alarm proxy-rejected counts both. The IP that connects tells a proxy from a client that forges."""
    accept(LOCK)
    without_lock = {"X-Client-IP": [FORWARDED_IP]}  # A client may call the gateway so.
    for fields in (of_proxy(lock="wrong"), of_proxy("no IP"), of_proxy(), without_lock):
        event = proxy_event("GET", "/health")
        event["multiValueHeaders"] = fields
        call("health", event)
    event = authorizer_event("Bearer x")
    event["multiValueHeaders"] |= of_proxy(lock="wrong")
    call_authorizer(event)
    assert sum(PROXY_REJECTED_METRIC in line for line in log_lines.metrics) == 3
    warnings = [record for record in log_lines.records if "connecting_ip" in record]
    assert [(each["connecting_ip"], bool(each["request_id"])) for each in warnings] == [(SOURCE_IP, True)] * 3
    assert LOCK not in log_lines.text
    assert "wrong" not in log_lines.text


def test_wrong_setting_leaves_the_gateways_ip(monkeypatch):
    monkeypatch.setenv("PROXY_LOCKS", "x")
    start_fresh_environment()
    assert seen(of_proxy(lock="x")) == SOURCE_IP


@pytest.mark.asvs("4.1.3", "15.3.4")
@pytest.mark.threat("gateway-forged-client-ip")
@pytest.mark.parametrize(("lock", "stored"), [(LOCK, FORWARDED_IP), ("forged", SOURCE_IP)])
def test_session_and_events_have_the_ip_that_the_lock_proves(database, accept, log_lines, lock, stored):
    accept(LOCK)
    register()
    headers, body = sent_by_proxy(lock=lock), {"email": EMAIL, "password": PASSWORD}
    assert call("login", json_event("POST", "/login", body, headers=headers)).status == 200
    assert database.execute(select(sessions.c.source_ip)) == [(stored,)]
    event = authorizer_event("Bearer x")
    event["multiValueHeaders"] |= {name: [value] for name, value in headers.items()}
    call_authorizer(event)
    assert [event["source_ip"] for event in log_lines.security_events[-3:]] == [stored] * 3
