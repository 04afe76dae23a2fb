"""How fast all players together may be served: a bucket of bytes that fills at a rate (Turner 1986). Pure."""

from typing import Final

BURST_S: Final = 0.25
"""Of the rate: what an entry says at once, 50 KB, is not held up on any line that may serve players at all."""


class Bucket:
    """bytes_s: its rate; 0: no limit. Times in s, of one clock."""

    def __init__(self, bytes_s: float, now_s: float) -> None:
        self._rate, self._most = bytes_s, bytes_s * BURST_S
        self._level, self._filled_s = self._most, now_s

    def take(self, count: int, now_s: float) -> float:
        """How long nobody who took may take again, s: what is over the rate is owed."""
        if not self._rate:
            return 0.0
        self._fill(now_s)
        self._level -= count
        return max(0.0, -self._level / self._rate)

    def is_empty(self, now_s: float) -> bool:
        """All there is is taken."""
        self._fill(now_s)
        return bool(self._rate) and self._level <= 0

    def _fill(self, now_s: float) -> None:
        self._level = min(self._most, self._level + (now_s - self._filled_s) * self._rate)
        self._filled_s = now_s
