"""One clock for every limit of time in this room."""

import time

if hasattr(time, "CLOCK_BOOTTIME"):

    def now_s() -> float:
        """Monotonic seconds that also pass while the machine sleeps: a lease must not outlive a closed lid."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:  # pragma: no cover - not Linux; there monotonic passes during sleep, or nothing does

    def now_s() -> float:
        """Monotonic seconds."""
        return time.monotonic()


def unix_ms() -> int:
    """The wall clock, Unix ms; for stamps only, nothing is decided on it."""
    return time.time_ns() // 1_000_000
