"""Map changes a client was told and has not answered. Pure.

Each 02eb and 0091 is answered by one 007d when the map is loaded; but a client that is told two at once may answer once or
twice. What is not counted right is put right by time: nobody loads a map after he has answered and been quiet for SETTLE_MS.
"""

from typing import Final

SETTLE_MS: Final = 2_000
FORGET_MS: Final = 60_000
"""The map-server itself drops a client that loads for so long."""


class Loads:
    __slots__ = ("_answered_ms", "_asked_ms", "_open")

    def __init__(self) -> None:
        self._open = 0
        self._asked_ms = self._answered_ms = 0.0

    def asked(self, now_ms: float) -> None:
        self._open += 1
        self._asked_ms = now_ms

    def asked_again(self, now_ms: float) -> None:
        """The same, for the first of a new server: what has settled since is forgotten."""
        if self._settled(now_ms) or now_ms - self._asked_ms > FORGET_MS:
            self._open = 0
        self.asked(now_ms)

    def answered(self, now_ms: float) -> bool:
        """Whether it answers anything."""
        self._answered_ms = now_ms
        self._open -= 1
        if self._open >= 0:
            return True
        self._open = 0
        return False

    def done(self, now_ms: float) -> bool:
        """The client has loaded the last map it was told."""
        return self._open == 0 or self._settled(now_ms)

    def forget(self) -> None:
        self._open = 0

    def _settled(self, now_ms: float) -> bool:
        return self._answered_ms > self._asked_ms and now_ms - self._answered_ms > SETTLE_MS
