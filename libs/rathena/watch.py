"""`Splitter` for a relay: where the whole packets end, and where those lie that it is interested in. Nothing is cut or copied.

A relay forwards `data[:end]` as it came. Most chunks hold no packet of interest, so this is the loop that every byte to every
client goes through: a list of all packets would take twice as long (`python -m bench --only relay`).
"""

from collections.abc import Iterable

import msgspec

from libs.rathena.framing import BadStream
from libs.rathena.tables import UNKNOWN, VARIABLE, Table

_WATCHED = -2
_ID_BYTES = 2
_HEAD_BYTES = 4


class Seen(msgspec.Struct, frozen=True, gc=False):
    """data: the chunk, behind what was left of the one before. end: of its last whole packet. found: where the watched ones
    begin, in order. broken: what follows `end` is no packet, and nothing ever will be."""

    data: bytes
    end: int
    found: list[int]
    broken: BadStream | None

    @property
    def whole(self) -> bytes | memoryview:
        """The whole packets, ready to be written."""
        return self.data if self.end == len(self.data) else memoryview(self.data)[: self.end]


class Watched:
    """A table with the ids to report, made once. rows: length by high and low byte of the id; _WATCHED where it is one."""

    __slots__ = ("lengths", "rows")

    def __init__(self, table: Table, ids: Iterable[int]) -> None:
        watched = set(ids)
        assert all(table.lengths[packet_id] != UNKNOWN for packet_id in watched), f"an id is none of {table.name}"
        marked = [_WATCHED if number in watched else length for number, length in enumerate(table.lengths)]
        self.lengths = table.lengths
        self.rows = [marked[high * 256 : high * 256 + 256] for high in range(256)]


class Watch:
    """One direction of one connection. It keeps the unfinished packet only: fewer than 64 KB."""

    __slots__ = ("_broken", "_lengths", "_need", "_rest", "_rows", "_scanned")

    def __init__(self, watched: Watched) -> None:
        self._rows, self._lengths = watched.rows, watched.lengths
        self._rest = b""
        self._need = _ID_BYTES
        self._scanned = 0
        self._broken: BadStream | None = None

    def scan(self, data: bytes) -> Seen:
        """Never raises. After a broken packet nothing is whole any more."""
        if self._broken is not None:
            return Seen(b"", 0, [], self._broken)
        if self._rest:
            data = self._rest + data
            if len(data) < self._need:
                self._rest = data
                return Seen(b"", 0, [], None)
        rows = self._rows
        found: list[int] = []
        at = start = 0
        total = len(data)
        last = total - _HEAD_BYTES
        while at <= last:
            start = at
            length = rows[data[at + 1]][data[at]]
            if length == VARIABLE:
                length = data[at + 2] | data[at + 3] << 8
                if length < _HEAD_BYTES:
                    return self._break(data, at, found)
            elif length <= 0:
                length = self._watched(data, at)
                if not length:
                    return self._break(data, at, found)
                found.append(at)
            at += length
        if at == total:
            self._rest, self._need = b"", _ID_BYTES
            self._scanned += total
            return Seen(data, total, found, None)
        if at > total:
            if found and found[-1] == start:
                found.pop()
            return self._keep(data, start, found, at - start)
        return self._tail(data, at, found)

    def _watched(self, data: bytes, at: int) -> int:
        """Its length; 0: the packet is unknown or broken."""
        length = self._lengths[data[at] | data[at + 1] << 8]
        if length != VARIABLE:
            return length
        length = data[at + 2] | data[at + 3] << 8
        return length if length >= _HEAD_BYTES else 0

    def _tail(self, data: bytes, at: int, found: list[int]) -> Seen:
        """The last three bytes at most: too few for the loop, enough for a packet of two or three."""
        total, need = len(data), _ID_BYTES
        while at + _ID_BYTES <= total:
            packet_id = data[at] | data[at + 1] << 8
            length = self._lengths[packet_id]
            if length == UNKNOWN:
                return self._break(data, at, found)
            need = _HEAD_BYTES if length == VARIABLE else length
            if at + need > total:
                break
            if self._rows[data[at + 1]][data[at]] == _WATCHED:
                found.append(at)
            at += length
            need = _ID_BYTES
        return self._keep(data, at, found, need)

    def _keep(self, data: bytes, end: int, found: list[int], need: int) -> Seen:
        """need: bytes of the unfinished packet, as far as is known."""
        self._rest = data[end:]
        self._need = need
        self._scanned += end
        return Seen(data, end, found, None)

    def _break(self, data: bytes, at: int, found: list[int]) -> Seen:
        packet_id = data[at] | data[at + 1] << 8
        reason = "unknown packet id" if self._lengths[packet_id] == UNKNOWN else "declared length"
        self._broken = BadStream(reason, packet_id, self._scanned + at)
        self._rest = b""
        return Seen(data, at, found, self._broken)
