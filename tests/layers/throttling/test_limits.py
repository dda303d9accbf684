"""The rules of a counter, without a database, and what is one source."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_common.settings import Settings
from auth_common.throttling.limits import MOST_OF_STRANGERS, Limit, of_login, source_of

pytestmark = [pytest.mark.throttling, pytest.mark.usefixtures("environment")]


def limit(**changes):
    return Limit(**{"name": "x", "key": b"x", "budget": 3, "window": timedelta(days=1), **changes})


@pytest.mark.parametrize(("failures", "seconds"), [(1, None), (2, None), (3, 30), (4, 60), (9, 1920), (10, 3600)])
def test_lock_doubles_up_to_the_longest(failures, seconds):
    lock = limit().lock_after(failures)
    assert lock == (None if seconds is None else timedelta(seconds=seconds))


def test_lock_is_bounded_and_at_the_ceiling_as_long_as_the_count():
    assert limit().lock_after(10**9) == timedelta(hours=1)
    for exempt, below in ((False, timedelta(seconds=60)), (True, None)):
        assert limit(exempt=exempt, ceiling=5).lock_after(4) == below
        assert limit(exempt=exempt, ceiling=5).lock_after(5) == timedelta(days=1)


def test_limit_per_account_cannot_be_set_beyond_the_ceiling_of_strangers():
    fields = Settings.__dataclass_fields__.items()
    bounds = {name: field.metadata["bounds"].greatest for name, field in fields if name.endswith("per_account")}
    assert bounds == {"throttle_login_per_account": MOST_OF_STRANGERS, "throttle_second_factor_per_account": 50}


def test_limit_of_a_login_counts_in_a_row_of_its_own():
    def keys(email, source):
        return [each.key for each in of_login(email=email, source=source, is_known=False)]

    one, other, elsewhere = keys("a", "b"), keys("c", "b"), keys("a", "d")
    assert len({*one, *other, *elsewhere}) == 7
    assert (one[2], one[1]) == (other[2], elsewhere[1])


ONE_SOURCE = [
    ("192.0.2.1", "::ffff:192.0.2.1"),
    ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"),
    ("2001:DB8::1", "2001:db8:0:0::2"),
]
TWO_SOURCES = [
    *(("192.0.2.1", "192.0.2.2"), ("2001:db8:0:1::1", "2001:db8:0:2::1")),
    *(("", "192.0.2.1"), ("test-invoke", "other")),
]


def test_client_ip_and_the_network_of_an_ipv6_address_are_one_source():
    assert [pair for pair in ONE_SOURCE if source_of(pair[0]) != source_of(pair[1])] == []
    assert [pair for pair in TWO_SOURCES if source_of(pair[0]) == source_of(pair[1])] == []


@given(st.ip_addresses(v=6))
def test_host_part_of_an_ipv6_address_is_ignored(address):
    other = address.__class__(int(address) ^ 1)
    if address.ipv4_mapped is None:
        assert source_of(str(address)) == source_of(str(other))


@given(st.text())
def test_text_of_any_kind_is_some_source(text):
    assert isinstance(source_of(text), str)
