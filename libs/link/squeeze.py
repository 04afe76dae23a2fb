"""One compressed stream in each direction of a link, cut into frames: raw deflate, level 1, a sync flush a frame. Pure.

Saves are mostly zeros: recorded autosaves become 110 to 140 times smaller at level 1, at 100 to 500 MB/s. Level 6 would make
them half as large at a third of the speed; zstd would be another dependency on players' machines (docs/adr/0020).
"""

import zlib
from typing import Final

from libs.link.records import RECORD_BYTES_MAX, BadLink

LEVEL: Final = 1
_RAW: Final = -zlib.MAX_WBITS
_TAIL: Final = b"\0\0\xff\xff"
"""How every sync flush ends; not sent."""


class Squeezer:
    def __init__(self) -> None:
        self._stream = zlib.compressobj(LEVEL, zlib.DEFLATED, _RAW, zlib.DEF_MEM_LEVEL, zlib.Z_DEFAULT_STRATEGY)

    def squeeze(self, frame: bytes) -> bytes:
        squeezed = self._stream.compress(frame) + self._stream.flush(zlib.Z_SYNC_FLUSH)
        return squeezed.removesuffix(_TAIL)


class Unsqueezer:
    """limit_bytes: of one frame. A bomb is stopped there: no more is ever unpacked."""

    def __init__(self, limit_bytes: int) -> None:
        assert limit_bytes <= RECORD_BYTES_MAX
        self._stream = zlib.decompressobj(_RAW)
        self._limit = limit_bytes

    def unsqueeze(self, squeezed: bytes) -> bytes:
        """Raises: BadLink: it is not what `squeeze` makes, or too long."""
        stream = self._stream
        try:
            frame = stream.decompress(squeezed + _TAIL, self._limit + 1)
        except zlib.error:
            raise BadLink("a frame that cannot be unpacked") from None
        if len(frame) > self._limit or stream.unconsumed_tail or stream.eof:
            raise BadLink(f"a frame that unpacks to more than {self._limit} bytes, or ends the stream")
        return frame
