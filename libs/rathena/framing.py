"""Packets out of a byte stream. In: bytes in any chunks. Out: whole packets, or where they lie.

rAthena marks no packet's start: one unknown id and the place is lost for good, so a splitter that met one refuses everything
after it and the connection has to be cut, as the stock servers do. Fast enough for every byte to every client: `Splitter.scan`.
"""

from itertools import pairwise
from typing import NamedTuple

from libs.rathena.tables import CHAR_TO_MAP, CLIENT_TO_MAP, MAP_TO_CHAR, MAP_TO_CLIENT, UNKNOWN, Table

__all__ = [
    "CHAR_TO_MAP",
    "CLIENT_TO_MAP",
    "LIMIT_BYTES",
    "MAP_TO_CHAR",
    "MAP_TO_CLIENT",
    "BadStream",
    "Scan",
    "Splitter",
    "Table",
]

LIMIT_BYTES = 65_535
"""Longest packet a u16 length can declare; the longest in use are 46 KB (storages)."""
_ID_BYTES = 2
_HEAD_BYTES = 4


class BadStream(Exception):
    """The stream cannot be split any further: cut the connection. at: byte offset in the stream of the packet that is wrong."""

    def __init__(self, reason: str, packet_id: int, at: int) -> None:
        super().__init__(f"{reason} (packet {packet_id:04x} at byte {at})")
        self.reason = reason
        self.packet_id = packet_id
        self.at = at


class Scan(NamedTuple):
    """Whole packets as they lie in `data`: packet n has id `ids[n]` and is `data[starts[n]:starts[n + 1]]`.

    starts: one more entry than ids; the last is `end`. What lies beyond is the beginning of a packet, which the splitter keeps.
    """

    data: bytes
    ids: list[int]
    starts: list[int]

    @property
    def end(self) -> int:
        """Where the last whole packet ends: forward `memoryview(data)[:end]`."""
        return self.starts[-1]

    def packet(self, n: int) -> bytes:
        return self.data[self.starts[n] : self.starts[n + 1]]

    def packets(self) -> list[bytes]:
        data, starts = self.data, self.starts
        return [data[start:end] for start, end in pairwise(starts)]


class Splitter:
    """Splits one direction of one connection. It keeps the unfinished packet only: fewer than limit_bytes and the last chunk.

    limit_bytes: longest packet of variable length to accept.
    """

    __slots__ = ("_limit", "_need", "_rest", "_scanned", "_table", "broken")

    def __init__(self, table: Table, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._table = table
        self._limit = limit_bytes
        self._rest = bytearray()
        self._need = _ID_BYTES
        self._scanned = 0
        self.broken: BadStream | None = None

    @property
    def pending(self) -> int:
        """Bytes of the unfinished packet held back."""
        return len(self._rest)

    def feed(self, data: bytes | bytearray | memoryview) -> list[bytes]:
        """The packets that are whole now, oldest first.

        Raises: BadStream on an id the table does not know, on a declared length below 4 or above the limit; and ever after.
        """
        return self.scan(data).packets()

    def scan(self, data: bytes | bytearray | memoryview) -> Scan:
        """As `feed`, without cutting: a relay forwards the whole chunk and looks only at the ids it is interested in.

        Raises: as `feed`.
        """
        if self.broken is not None:
            raise BadStream(self.broken.reason, self.broken.packet_id, self.broken.at)
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._need:
                return Scan(b"", [], [0])
            data = bytes(rest)
            rest.clear()
        elif not isinstance(data, bytes):
            data = bytes(data)
        return self._walk(data)

    def _walk(self, data: bytes) -> Scan:
        lengths, limit, total = self._table.lengths, self._limit, len(data)
        ids: list[int] = []
        starts: list[int] = [0]
        at, need = 0, _ID_BYTES
        while at + need <= total:
            packet_id = data[at] | data[at + 1] << 8
            length = lengths[packet_id]
            if length <= 0:
                if length == UNKNOWN:
                    raise self._break("unknown packet id", packet_id, at)
                if at + _HEAD_BYTES > total:
                    need = _HEAD_BYTES
                    break
                length = data[at + 2] | data[at + 3] << 8
                if not _HEAD_BYTES <= length <= limit:
                    raise self._break(f"declared length {length}", packet_id, at)
            if at + length > total:
                need = length
                break
            at += length
            ids.append(packet_id)
            starts.append(at)
        self._scanned += at
        self._need = need
        if at < total:
            self._rest += memoryview(data)[at:]
        return Scan(data, ids, starts)

    def _break(self, reason: str, packet_id: int, at: int) -> BadStream:
        self._rest.clear()
        self.broken = BadStream(reason, packet_id, self._scanned + at)
        return self.broken
