"""The real machine, measured (psutil). What is not measured is absent, never guessed."""

from collections import deque
from pathlib import Path
from statistics import quantiles

import psutil

from libs.events import MapName, MapReport, OrderedMap
from services.agent.core import Measured

WINDOW = 60
"""Round trips remembered; p50 and p95 are taken over them."""
SAMPLES_MIN = 5
MB = 1024 * 1024


class RealMachine:
    """A `Metrics` source. cpu_ghz: the highest clock the system states. Latency and jitter: timed to NATS by the shell.
    Network speed and packet rate are not measured yet and said as absent."""

    def __init__(self, address: str | None, port: int) -> None:
        self._address, self._port = address, port
        self._round_trips_ms: deque[float] = deque(maxlen=WINDOW)

    def observe_round_trip(self, seconds: float) -> None:
        self._round_trips_ms.append(seconds * 1000)

    def measure(self) -> Measured:
        latency_ms, jitter_ms = percentiles(list(self._round_trips_ms))
        return Measured(
            address=self._address,
            port=self._port,
            cpu_ghz=_clock_ghz(),
            cpu_cores=psutil.cpu_count(logical=True),
            free_ram_mb=psutil.virtual_memory().available / MB,
            latency_ms=latency_ms,
            jitter_ms=jitter_ms,
        )


class NoMapServers:
    """A `MapServers` for an agent that cannot run any: every order is answered with `failed`, so that its maps go elsewhere."""

    def __init__(self) -> None:
        self._wanted: dict[MapName, OrderedMap] = {}

    def obey(self, wanted: dict[MapName, OrderedMap], now_ms: int) -> None:  # noqa: ARG002 - the port's shape
        self._wanted = wanted

    def reports(self, now_ms: int) -> dict[MapName, MapReport]:  # noqa: ARG002
        return {name: MapReport(tenure=order.tenure, state="failed") for name, order in self._wanted.items()}

    def close(self) -> None:
        self._wanted = {}


def percentiles(round_trips_ms: list[float]) -> tuple[float | None, float | None]:
    """(p50, p95 - p50), ms; (None, None) below SAMPLES_MIN samples."""
    if len(round_trips_ms) < SAMPLES_MIN:
        return None, None
    cuts = quantiles(round_trips_ms, n=20, method="inclusive")
    return cuts[9], cuts[18] - cuts[9]


def _clock_ghz() -> float | None:
    """The highest clock the system states, GHz; from /proc/cpuinfo where psutil knows none (containers)."""
    frequency = psutil.cpu_freq()
    mhz = max(frequency.max, frequency.current) if frequency else 0.0
    if mhz <= 0:
        try:
            lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:
            return None
        mhz = max((float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")), default=0.0)
    return mhz / 1000 if mhz > 0 else None
