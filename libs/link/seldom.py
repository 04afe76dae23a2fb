"""Words that are said at most so often of each thing, however often there is cause. Pure. Bounded."""

from typing import Final

ALERT_MS: Final = 60_000
"""Of one host, or of strangers; each refusal is counted and logged besides."""
KNOWN_MAX: Final = 1_000
"""Of more things, the one said longest ago is forgotten."""


class Seldom:
    def __init__(self) -> None:
        self._said_ms: dict[str, int] = {}

    def may(self, about: str, now_ms: int) -> bool:
        """Whether it is said now: it was not, in the last ALERT_MS."""
        if now_ms - self._said_ms.get(about, -ALERT_MS) < ALERT_MS:
            return False
        self._said_ms.pop(about, None)
        if len(self._said_ms) >= KNOWN_MAX:
            del self._said_ms[next(iter(self._said_ms))]
        self._said_ms[about] = now_ms
        return True

    def __len__(self) -> int:
        return len(self._said_ms)
