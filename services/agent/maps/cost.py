"""What one map-server costs its machine."""

from dataclasses import dataclass
from typing import Final

import psutil

MB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """cpu_ratio: of one core since the last look, 1.0 is a whole one. cpu_s: since its start. ram_mb: resident."""

    cpu_ratio: float
    cpu_s: float
    ram_mb: float


class Meter:
    """Of one process."""

    def __init__(self, process: psutil.Process, now_s: float) -> None:
        self._process = process
        self._cpu_s, self._at_s = 0.0, now_s

    @classmethod
    def of(cls, pid: int, now_s: float) -> "Meter | None":
        """None: it is gone."""
        try:
            return cls(psutil.Process(pid), now_s)
        except psutil.Error:
            return None

    def look(self, now_s: float) -> Cost | None:
        """None: it is gone."""
        try:
            with self._process.oneshot():
                times, ram = self._process.cpu_times(), self._process.memory_info().rss
        except psutil.Error:
            return None
        cpu_s = times.user + times.system
        passed_s = now_s - self._at_s
        ratio = (cpu_s - self._cpu_s) / passed_s if passed_s > 0 else 0.0
        self._cpu_s, self._at_s = cpu_s, now_s
        return Cost(max(0.0, ratio), cpu_s, ram / MB)
