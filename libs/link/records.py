"""Records of a host's link after its greeting: a kind and a length in one u32, big endian, then the body. Pure.

ALIVE says only: I live. FRAME is the next frame of the session, compressed. ACK counts the frames that came. BYE: the end is
meant, nobody comes back; its body says why.
"""

from enum import IntEnum
from struct import Struct
from typing import Final

RECORD_BYTES_MAX: Final = 64 * 1024
"""Twice the largest frame: what cannot be compressed grows by a few bytes."""
_HEAD: Final = Struct(">I")
_LENGTH_BITS: Final = 24


class BadLink(Exception):
    """The other end does not speak our language, or not to the rules; the session cannot go on."""


class Kind(IntEnum):
    ALIVE = 0
    FRAME = 1
    ACK = 2
    BYE = 3


KINDS: Final = {int(kind): kind for kind in Kind}


def record(kind: Kind, body: bytes = b"") -> bytes:
    return _HEAD.pack(kind << _LENGTH_BITS | len(body)) + body


class Records:
    """Reads one direction. Holds at most one record."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[tuple[Kind, bytes]]:
        """The records that are whole now.

        Raises:
            BadLink: no such kind, or too long.
        """
        rest = self._rest
        rest += data
        found: list[tuple[Kind, bytes]] = []
        at = 0
        while len(rest) - at >= _HEAD.size:
            (head,) = _HEAD.unpack_from(rest, at)
            kind, length = KINDS.get(head >> _LENGTH_BITS), head & (1 << _LENGTH_BITS) - 1
            if kind is None or length > RECORD_BYTES_MAX:
                raise BadLink(f"a record of kind {head >> _LENGTH_BITS} and {length} bytes")
            end = at + _HEAD.size + length
            if len(rest) < end:
                break
            found.append((kind, bytes(memoryview(rest)[at + _HEAD.size : end])))
            at = end
        del rest[:at]
        return found
