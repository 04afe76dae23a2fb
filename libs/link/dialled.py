"""A player's connection between relay and agent, after its greeting. Pure.

What the map-server says goes as it is, and the connection's end is its end. What the player says stands in chunks, each behind
its length, u32, big endian; the empty chunk says that he says no more: TLS, as Python has it, cannot end one direction alone,
and a map-server that sees him go may have a last word still.
"""

from struct import Struct
from typing import Final

_LENGTH: Final = Struct(">I")
OVER: Final = _LENGTH.pack(0)


def chunk(data: bytes | memoryview) -> bytes:
    return b"".join((_LENGTH.pack(len(data)), data))


class Chunks:
    """Reads them; keeps no more than a length. over: the player says no more."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self.over = False

    def feed(self, data: bytes) -> bytes:
        """What is the player's of it; what follows the empty chunk is nobody's."""
        if self._left >= len(data) and not self.over:
            self._left -= len(data)
            return data
        found: list[bytes] = []
        at = 0
        while at < len(data) and not self.over:
            if self._left:
                part = data[at : at + self._left]
                found.append(part)
                at += len(part)
                self._left -= len(part)
                continue
            more = _LENGTH.size - len(self._head)
            self._head += data[at : at + more]
            at += more
            if len(self._head) == _LENGTH.size:
                (self._left,) = _LENGTH.unpack(self._head)
                self._head = b""
                self.over = not self._left
        return b"".join(found)
