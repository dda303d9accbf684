"""The subset of CBOR that authenticators may send is accepted, and everything outside this subset is rejected."""

from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_common.plain_cbor import MAX_DEPTH, is_plain_cbor

pytestmark = pytest.mark.passkeys

LEAVES = st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats() | st.text() | st.binary()
#: Values with at most ``MAX_DEPTH`` nested levels.
TREES: st.SearchStrategy[Any] = LEAVES
for _ in range(MAX_DEPTH):
    TREES = LEAVES | st.lists(TREES, max_size=4) | st.dictionaries(st.text() | st.integers(-9, 9), TREES, max_size=4)


@given(trees=st.lists(TREES, max_size=3))
def test_items_without_a_tag_are_plain(trees):
    """Authenticator data ends with a public key and extensions (WebAuthn section 6.1)."""
    assert is_plain_cbor(b"".join(map(cbor2.dumps, trees)))


@pytest.mark.asvs("1.5.2")
@given(tree=TREES, tag=st.integers(0, 2**64 - 1), within=st.integers(0, MAX_DEPTH - 1))
def test_tag_at_any_depth_is_rejected(tree, tag, within):
    tagged = cbor2.dumps(tag)
    tagged = bytes([tagged[0] | 0xC0]) + tagged[1:] + cbor2.dumps(tree)
    assert not is_plain_cbor(b"\x81" * within + tagged)
    assert not is_plain_cbor(b"\xa1\x00" * within + tagged)


@pytest.mark.parametrize("opening", [b"\x81", b"\xa1\x00"], ids=["arrays", "maps"])
def test_nesting_beyond_four_levels_is_rejected(opening):
    assert is_plain_cbor(opening * MAX_DEPTH + b"\x00")
    assert not is_plain_cbor(opening * (MAX_DEPTH + 1) + b"\x00")
    assert not is_plain_cbor(opening * 30_000 + b"\x00")


def test_malformed_or_incomplete_item_is_rejected():
    """Indefinite lengths, reserved initial bytes (RFC 8949 section 3), and lengths beyond the input."""
    lengths = (1, 2**16, 2**40, 2**64 - 1)
    items = [
        *(bytes([start, 0xFF]) for start in (0x5F, 0x7F, 0x9F, 0xBF)),
        *(bytes([major << 5 | low]) + bytes(300) for major in range(8) for low in (28, 29, 30, 31)),
        *(start + length.to_bytes(8) for start in (b"\x5b", b"\x7b", b"\x9b", b"\xbb") for length in lengths),
    ]
    assert [octets for octets in items if is_plain_cbor(octets)] == []


@given(tree=st.binary(min_size=1) | st.text(min_size=1) | st.lists(LEAVES, min_size=1))
def test_truncated_item_is_rejected(tree):
    assert not is_plain_cbor(cbor2.dumps(tree)[:-1])
