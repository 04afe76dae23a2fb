"""One end of one channel of a link: what waits to be sent, and what may be. Pure. Used by session.py."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

CHUNK_BYTES: Final = 32 * 1024 - 64
"""Of one channel in one frame: the others' turn comes after it."""
CREDIT_UP, CREDIT_DOWN = 512 * 1024, 4 * 1024 * 1024
"""Bytes of a channel that may be on their way, uncompressed. Up: the bridge holds them for every host while the char-server
does not read; five players' saves. Down: a move's players enter at once, 180 KB each, and the line may be long."""


@dataclass(slots=True)
class Channel:
    """may_say, may_hear: credit left. queue: said and not sent, `waiting` bytes; ending: it ends behind that, and why. took:
    dealt with, and not given back as credit yet."""

    may_say: int
    may_hear: int
    queue: deque[bytes] = field(default_factory=deque)
    waiting: int = 0
    took: int = 0
    ending: str | None = None

    def next(self) -> bytes:
        """The next frame's bytes, at most CHUNK_BYTES and what credit allows."""
        most = min(CHUNK_BYTES, self.may_say)
        parts: list[bytes] = []
        while self.queue and most > 0:
            head = self.queue.popleft()
            if len(head) > most:
                self.queue.appendleft(head[most:])
                head = head[:most]
            parts.append(head)
            most -= len(head)
        chunk = parts[0] if len(parts) == 1 else b"".join(parts)
        self.waiting -= len(chunk)
        self.may_say -= len(chunk)
        return chunk
