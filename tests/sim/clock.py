"""Virtual time: what happens, in order, and nothing in between.

In: acts with a delay. Out: they run, one after the other, each at its own instant. Microseconds since the start of the run;
two acts of the same instant run in the order they were planned, so a run is the same whenever its seed is.
"""

import heapq
from collections.abc import Callable
from typing import Any

START_MS = 1_700_000_000_000
"""Unix ms at which every run begins."""
MS = 1_000
"""Microseconds in a millisecond."""
SECOND = 1_000_000


class Clock:
    """acts: how many have run, a measure of how much was simulated."""

    def __init__(self) -> None:
        self.now_us = 0
        self.acts = 0
        self._planned = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []

    @property
    def now_ms(self) -> int:
        """Unix ms of an observer whose clock is right."""
        return START_MS + self.now_us // MS

    def after(self, delay_us: int, act: Callable[..., None], *args: Any) -> None:
        self.at(self.now_us + delay_us, act, *args)

    def at(self, when_us: int, act: Callable[..., None], *args: Any) -> None:
        assert when_us >= self.now_us, "nothing can be planned for the past"
        self._planned += 1
        heapq.heappush(self._heap, (when_us, self._planned, act, args))

    def run_until(self, end_us: int) -> None:
        heap = self._heap
        while heap and heap[0][0] <= end_us:
            self.now_us, _, act, args = heapq.heappop(heap)
            self.acts += 1
            act(*args)
        self.now_us = end_us
