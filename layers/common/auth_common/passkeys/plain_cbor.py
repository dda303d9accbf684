"""Plain CBOR: what an authenticator may send (CTAP 2.1 section 8), checked before a full decoder reads it.

A full decoder also understands tags. With those for shared values (28, 29) and repeated strings (25, 256), 500 bytes
stand for a tree of 10^12 nodes; py_webauthn encodes what it has decoded once more, and would do so until it is killed.
"""

from typing import Final

#: Maps and arrays within one another. The attestation object takes three: itself, ``attStmt``, ``x5c``.
MAX_DEPTH: Final = 4

#: Major types (RFC 8949 section 3.1).
_BYTES, _TEXT, _ARRAY, _MAP, _TAG = 2, 3, 4, 5, 6
#: What stands for an argument of 1 byte, and of 8, behind the initial byte; above are only indefinite lengths.
_ONE_BYTE, _EIGHT_BYTES = 24, 27


def is_plain_cbor(octets: bytes) -> bool:
    """Return whether ``octets`` are data items one after another, none tagged, too deep or of indefinite length."""
    position = 0
    try:
        while position < len(octets):
            position = _end_of_item(octets, position, levels=MAX_DEPTH)
    except (_NotPlain, IndexError):
        return False
    return position == len(octets)


class _NotPlain(Exception):
    """The data item uses what authenticators must not use."""


def _end_of_item(octets: bytes, position: int, *, levels: int) -> int:
    """Return where the data item at ``position`` ends (RFC 8949 section 3)."""
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
        # However many items it claims to have: the input's end ends the loop.
        for _ in range(argument * 2 if major_type == _MAP else argument):
            position = _end_of_item(octets, position, levels=levels - 1)
    return position
