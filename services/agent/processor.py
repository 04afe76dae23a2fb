"""The processor's clock: what the system states, and what a benchmark shows. The lower of both is said.

The benchmark hashes with MD5, a chain of 64 steps a block in which each waits for the last: no processor runs it in parallel,
none has an instruction for it, so its cycles a byte are nearly the same on all and its speed is the clock. Calibrated against a
chain of dependent additions, one a cycle, on an AMD EPYC 7003 (Zen 3): 4.8 cycles a byte (docs/adr/0015).
"""

import hashlib
import time
from typing import Final

import psutil

from services.agent.platforms import stated_mhz

MD5_CYCLES_PER_BYTE: Final = 4.8
CHUNK = bytes(256 * 1024)
"""One timing, 0.4 ms at 3 GHz: short enough to fit between two interruptions. Hashing it releases Python's lock."""
BENCHMARK_S = 0.1
"""All timings together; the quickest counts, since others on the machine can only slow one."""


def cpu_ghz() -> float | None:
    """The lower of stated and shown, GHz; about BENCHMARK_S, in a thread."""
    known = [ghz for ghz in (stated_ghz(), shown_ghz()) if ghz is not None]
    return min(known, default=None)


def stated_ghz() -> float | None:
    """The highest clock the system states, GHz."""
    try:
        frequency = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):  # psutil on containers and on Apple's processors
        frequency = None
    mhz = max(frequency.max, frequency.current) if frequency else 0.0
    if mhz <= 0:
        mhz = stated_mhz() or 0.0
    return mhz / 1000 if mhz > 0 else None


def shown_ghz(seconds: float = BENCHMARK_S) -> float | None:
    """What the benchmark shows, GHz; None where this Python may not use MD5."""
    try:
        hashlib.md5(CHUNK, usedforsecurity=False)
    except ValueError:  # a build for FIPS
        return None
    best_s, end_s = seconds, time.perf_counter() + seconds
    while (started_s := time.perf_counter()) < end_s:
        hashlib.md5(CHUNK, usedforsecurity=False)
        best_s = min(best_s, time.perf_counter() - started_s)
    return MD5_CYCLES_PER_BYTE * len(CHUNK) / best_s / 1e9
