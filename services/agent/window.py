"""The newest of many timings, and their percentiles."""

from collections import deque
from statistics import median, quantiles

SAMPLES_MIN = 5


class Window:
    """At most `size` samples, ms."""

    def __init__(self, size: int) -> None:
        self._samples_ms: deque[float] = deque(maxlen=size)

    def add(self, ms: float) -> None:
        self._samples_ms.append(ms)

    def clear(self) -> None:
        self._samples_ms.clear()

    def p50(self, least: int = SAMPLES_MIN) -> float | None:
        """None below `least` samples."""
        return median(self._samples_ms) if len(self._samples_ms) >= least else None

    def p50_and_jitter(self) -> tuple[float | None, float | None]:
        """(p50, p95 - p50), ms; (None, None) below SAMPLES_MIN samples."""
        if len(self._samples_ms) < SAMPLES_MIN:
            return None, None
        cuts = quantiles(self._samples_ms, n=20, method="inclusive")
        return cuts[9], cuts[18] - cuts[9]
