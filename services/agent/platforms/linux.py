"""Linux, and what is like it."""

import os
import sys
import time
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def stated_mhz() -> float | None:
    try:
        lines = CPUINFO.read_text(encoding="ascii", errors="replace").splitlines()
        return max((float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")), default=None)
    except (OSError, ValueError, IndexError):
        return None


if sys.platform == "linux":

    def usable_cores() -> int | None:
        return len(os.sched_getaffinity(0))

    def slept_s() -> float:
        """CLOCK_BOOTTIME counts sleep, CLOCK_MONOTONIC does not (clock_gettime(2))."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()

else:

    def usable_cores() -> int | None:
        return None

    def slept_s() -> float:
        return 0.0
