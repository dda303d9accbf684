"""Check for plain CBOR, the subset that authenticators may send (CTAP 2.1 section 8), before a full decoder reads it.

A full decoder also resolves tags. Tags for shared values (28, 29) and repeated strings (25, 256) let 500 bytes expand
to a tree of 10^12 nodes. py_webauthn encodes decoded values again, and would do so until the process is killed.
"""

from typing import Final

#: Levels of nested maps and arrays. An attestation object needs three: itself, ``attStmt`` and ``x5c``.
MAX_DEPTH: Final = 4

#: Major types (RFC 8949 section 3.1).
_BYTES, _TEXT, _ARRAY, _MAP, _TAG = 2, 3, 4, 5, 6
#: Values of the additional information that mean "the argument is in the next byte" and "in the next 8 bytes". Above
#: them are reserved values and indefinite lengths.
_ONE_BYTE, _EIGHT_BYTES = 24, 27


def is_plain_cbor(octets: bytes) -> bool:
    """Return whether ``octets`` is a sequence of complete CBOR data items in the subset of authenticators.

    Tags, indefinite lengths and more than ``MAX_DEPTH`` levels are outside this subset.
    """
    position = 0
    try:
        while position < len(octets):
            position = _end_of_item(octets, position, levels=MAX_DEPTH)
    except (_NotPlain, IndexError):
        return False
    return position == len(octets)


class _NotPlain(Exception):
    """The data item uses a feature of CBOR that authenticators must not use."""


def _end_of_item(octets: bytes, position: int, *, levels: int) -> int:
    """Return the offset after the data item at ``position`` (RFC 8949 section 3).

    ``levels`` is the number of maps and arrays that may still be nested.
    """
    major_type, argument = divmod(octets[position], 32)
    position += 1
    if argument > _EIGHT_BYTES:
        raise _NotPlain
    if argument >= _ONE_BYTE:
        size = 1 << (argument - _ONE_BYTE)
        argument = int.from_bytes(octets[position : position + size])
        position += size
    if major_type in {_BYTES, _TEXT}:
        return position + argument
    if major_type == _TAG:
        raise _NotPlain
    if major_type in {_ARRAY, _MAP}:
        if levels == 0:
            raise _NotPlain
        # A huge claimed number of items is harmless, because the loop stops at the end of the input.
        for _ in range(argument * 2 if major_type == _MAP else argument):
            position = _end_of_item(octets, position, levels=levels - 1)
    return position
