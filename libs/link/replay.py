"""Frames in order, each once, over connections that break: kept until acknowledged, said again after a break. Pure."""

from collections import deque
from typing import Final

from libs.link.records import BadLink

FRAMES_MAX: Final = 16_384
"""Kept for a peer that acknowledges nothing, whatever their size; then it is none of ours."""


class Sent:
    """count: frames said so far. kept_bytes: of those not yet acknowledged."""

    def __init__(self) -> None:
        self._kept: deque[bytes] = deque()
        self.count = self.kept_bytes = 0

    def add(self, frame: bytes) -> None:
        """Raises: BadLink: the peer acknowledges nothing."""
        if len(self._kept) >= FRAMES_MAX:
            raise BadLink(f"{FRAMES_MAX} frames without an acknowledgement")
        self._kept.append(frame)
        self.count += 1
        self.kept_bytes += len(frame)

    def acknowledged(self, count: int) -> None:
        """The peer has this many. Raises: BadLink: more than were said, or fewer than it had."""
        gone = count - (self.count - len(self._kept))
        if gone < 0 or count > self.count:
            raise BadLink(f"it acknowledges {count} frames; said were {self.count}")
        for _ in range(gone):
            self.kept_bytes -= len(self._kept.popleft())

    def again(self) -> list[bytes]:
        """All that is not acknowledged, in order."""
        return list(self._kept)


ACK_FRAMES: Final = 32
ACK_BYTES: Final = 64 * 1024
"""An acknowledgement is due after so much, and with each beat."""


class Received:
    """count: frames that came, in order."""

    def __init__(self) -> None:
        self.count = 0
        self._told = self._bytes = 0

    def add(self, frame: bytes) -> None:
        self.count += 1
        self._bytes += len(frame)

    @property
    def is_due(self) -> bool:
        return self.count - self._told >= ACK_FRAMES or self._bytes >= ACK_BYTES

    @property
    def untold(self) -> bool:
        return self.count != self._told

    def told(self) -> int:
        """What to acknowledge now."""
        self._told, self._bytes = self.count, 0
        return self.count
