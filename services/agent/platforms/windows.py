"""Windows."""

import sys

import psutil

TICKS_PER_S = 10_000_000
"""The interrupt time counts 100 ns."""


def stated_mhz() -> float | None:
    """psutil knows it there."""
    return None


if sys.platform == "win32":
    import ctypes

    def usable_cores() -> int | None:
        return len(psutil.Process().cpu_affinity() or ()) or None

    def slept_s() -> float:
        """The interrupt time counts sleep, the unbiased one does not (realtimeapiset.h, Windows 7 and 10)."""
        biased, unbiased = ctypes.c_ulonglong(), ctypes.c_ulonglong()
        kernel = ctypes.WinDLL("kernelbase")
        kernel.QueryInterruptTime(ctypes.byref(biased))
        kernel.QueryUnbiasedInterruptTime(ctypes.byref(unbiased))
        return (biased.value - unbiased.value) / TICKS_PER_S

else:

    def usable_cores() -> int | None:
        return None

    def slept_s() -> float:
        return 0.0
