"""The rules of a limit, without a database, and which client IPs are counted as one."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_common.settings import Settings
from auth_common.throttling.limits import MAX_FAILURES_FROM_UNKNOWN_IPS, Limit, login_limits, normalise_client_ip

pytestmark = [pytest.mark.throttling, pytest.mark.usefixtures("environment")]


def limit(**changes):
    return Limit(**{"name": "x", "key": b"x", "quota": 3, "window": timedelta(days=1), **changes})


@pytest.mark.parametrize(("failures", "seconds"), [(1, None), (2, None), (3, 30), (4, 60), (9, 1920), (10, 3600)])
def test_lockout_doubles_up_to_the_longest(failures, seconds):
    lockout = limit().lockout_after(failures)
    assert lockout == (None if seconds is None else timedelta(seconds=seconds))


def test_lockout_is_bounded_and_at_the_maximum_of_failures_as_long_as_the_window():
    assert limit().lockout_after(10**9) == timedelta(hours=1)
    for exempt, below in ((False, timedelta(seconds=60)), (True, None)):
        assert limit(exempt_from_lockouts=exempt, max_failures=5).lockout_after(4) == below
        assert limit(exempt_from_lockouts=exempt, max_failures=5).lockout_after(5) == timedelta(days=1)


def test_limit_per_account_cannot_be_set_beyond_the_failures_from_unknown_client_ips():
    fields = Settings.__dataclass_fields__.items()
    bounds = {name: field.metadata["bounds"].greatest for name, field in fields if name.endswith("per_account")}
    assert bounds == {
        "throttle_login_per_account": MAX_FAILURES_FROM_UNKNOWN_IPS,
        "throttle_second_factor_per_account": 50,
    }


def test_account_and_client_ip_of_a_login_have_a_counter_each():
    def keys(email, client_ip):
        return [each.key for each in login_limits(email=email, client_ip=client_ip, is_known=False)]

    one, other, elsewhere = keys("a", "b"), keys("c", "b"), keys("a", "d")
    assert len({*one, *other, *elsewhere}) == 7
    assert (one[2], one[1]) == (other[2], elsewhere[1])


COUNTED_AS_ONE = [
    ("192.0.2.1", "::ffff:192.0.2.1"),
    ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"),
    ("2001:DB8::1", "2001:db8:0:0::2"),
]
COUNTED_AS_TWO = [
    *(("192.0.2.1", "192.0.2.2"), ("2001:db8:0:1::1", "2001:db8:0:2::1")),
    *(("", "192.0.2.1"), ("test-invoke", "other")),
]


def test_spellings_and_the_64_network_of_an_ipv6_address_are_counted_as_one_client_ip():
    assert [pair for pair in COUNTED_AS_ONE if len(set(map(normalise_client_ip, pair))) != 1] == []
    assert [pair for pair in COUNTED_AS_TWO if len(set(map(normalise_client_ip, pair))) != 2] == []


@given(st.ip_addresses(v=6))
def test_host_part_of_an_ipv6_address_is_ignored(address):
    other = address.__class__(int(address) ^ 1)
    if address.ipv4_mapped is None:
        assert normalise_client_ip(str(address)) == normalise_client_ip(str(other))


@given(st.text())
def test_text_that_is_no_ip_address_is_counted_too(text):
    assert isinstance(normalise_client_ip(text), str)
