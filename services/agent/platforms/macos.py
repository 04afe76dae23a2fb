"""macOS."""

import subprocess
import sys
import time

SYSCTL_TIMEOUT_S = 2.0


def stated_mhz() -> float | None:
    """hw.cpufrequency_max of Intel machines; Apple's own processors state none."""
    try:
        said = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "hw.cpufrequency_max"],
            capture_output=True,
            check=False,
            text=True,
            timeout=SYSCTL_TIMEOUT_S,
        )
        return float(said.stdout) / 1e6 or None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def usable_cores() -> int | None:
    """A process cannot be bound to cores there."""
    return None


if sys.platform == "darwin":

    def slept_s() -> float:
        """CLOCK_MONOTONIC counts sleep, CLOCK_UPTIME_RAW does not (clock_gettime(3) of macOS)."""
        return time.clock_gettime(time.CLOCK_MONOTONIC) - time.clock_gettime(time.CLOCK_UPTIME_RAW)

else:

    def slept_s() -> float:
        return 0.0
