"""A made-up machine and made-up map-servers, named so: for the demo, labs and tests. Nothing here measures or runs anything."""

import random
from dataclasses import replace

from libs.events import MapName, MapReport, OrderedMap
from services.agent.core import Measured
from services.agent.ports import ServerSide

START_MS = (400, 2_500)
"""How long a simulated map-server takes to be ready; a real one takes 2.4 s (FACTS section 11)."""


class SimulatedMachine:
    """A `Metrics` source: the given values, with a little noise where a real machine has it."""

    def __init__(self, measured: Measured, rng: random.Random) -> None:
        self._measured, self._rng = measured, rng

    def observe_round_trip(self, seconds: float) -> None:
        """A made-up machine keeps its made-up latency."""

    def on_other_path(self) -> None:
        """Nor has it a network of its own."""

    async def keep_measuring(self, server: ServerSide) -> None:
        """There is nothing to measure."""

    def measure(self) -> Measured:
        ram_mb = self._measured.free_ram_mb
        if ram_mb is None:
            return self._measured
        return replace(self._measured, free_ram_mb=ram_mb * self._rng.uniform(0.995, 1.0))


class SimulatedMapServers:
    """A `MapServers`: each is ready a while after it was ordered, and fails with a given probability. players: on each map,
    asked when reporting."""

    def __init__(self, rng: random.Random, fail_ratio: float = 0.0) -> None:
        self._rng, self._fail_ratio = rng, fail_ratio
        self._servers: dict[MapName, tuple[int, str]] = {}
        self._tenures: dict[MapName, int] = {}

    def obey(self, wanted: dict[MapName, OrderedMap], now_ms: int) -> None:
        for name in self._servers.keys() - wanted.keys():
            del self._servers[name]
        for name in wanted.keys() - self._servers.keys():
            end = "failed" if self._rng.random() < self._fail_ratio else "ready"
            self._servers[name] = (now_ms + self._rng.randint(*START_MS), end)
        self._tenures = {name: order.tenure for name, order in wanted.items()}

    def reports(self, now_ms: int) -> dict[MapName, MapReport]:
        return {name: self._report(name, now_ms) for name in sorted(self._servers)}

    async def close(self) -> None:
        self._servers.clear()

    def _report(self, name: MapName, now_ms: int) -> MapReport:
        ready_ms, end = self._servers[name]
        if now_ms < ready_ms:
            return MapReport(tenure=self._tenures[name], state="starting")
        return MapReport(tenure=self._tenures[name], state="failed" if end == "failed" else "ready")
