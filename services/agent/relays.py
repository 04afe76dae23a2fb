"""The round trip to each region's relay: how long its TCP connection takes to be made. Of a window, the median.

In: region -> host:port, as host.order names them. Out: `rtts`. The name is looked up before and is not timed.
"""

import asyncio
import random
import socket
from collections.abc import Callable, Mapping

from libs.events import Region
from services.agent.window import Window

WINDOW = 15
SAMPLES_MIN = 3
FIRST_PROBES = 5
FIRST_PROBE_S = 0.5
"""Between the first probes of a region that is new."""
PROBE_S = 60.0
"""Between later ones, with a spread: 10,000 hosts are 170 connections a second for a relay."""
NONE_S = 2.0
"""While no order has named a region."""
TIMEOUT_S = 2.0
REGIONS_MAX = 64
FAILURES_MAX = 3
"""So many in a row, and what was measured before holds no more."""


class Relays:
    """`rtts` is what is known now. regions: asked before each round."""

    def __init__(self, regions: Callable[[], Mapping[Region, str]], rng: random.Random) -> None:
        self._regions, self._rng = regions, rng
        self._windows: dict[Region, Window] = {}
        self._addresses: dict[Region, str] = {}
        self._probes: dict[Region, int] = {}
        self._failures: dict[Region, int] = {}

    def rtts(self) -> dict[Region, float | None]:
        """Region -> p50, ms; None: unmeasured."""
        return {region: window.p50(SAMPLES_MIN) for region, window in self._windows.items()}

    def forget(self) -> None:
        """The way there is another now."""
        self._addresses.clear()

    async def run(self) -> None:
        """Probes for ever."""
        while True:
            await self.probe_all()
            fresh = any(self._probes[region] < FIRST_PROBES for region in self._windows)
            wait_s = NONE_S if not self._windows else FIRST_PROBE_S if fresh else PROBE_S
            await asyncio.sleep(wait_s * self._rng.uniform(0.8, 1.2))

    async def probe_all(self) -> None:
        """One probe of each region, all at once."""
        regions = dict(list(self._regions().items())[:REGIONS_MAX])
        for region in self._windows.keys() - regions.keys():
            for known in (self._windows, self._addresses, self._probes, self._failures):
                known.pop(region, None)
        for region, address in regions.items():
            if self._addresses.get(region) != address:
                self._addresses[region], self._windows[region] = address, Window(WINDOW)
                self._probes[region] = self._failures[region] = 0
        await asyncio.gather(*(self._probe(region, address) for region, address in regions.items()))

    async def _probe(self, region: Region, address: str) -> None:
        rtt_ms = await connect_ms(address)
        if self._addresses.get(region) != address:
            return  # forgotten meanwhile
        self._probes[region] += 1
        self._failures[region] = self._failures[region] + 1 if rtt_ms is None else 0
        if rtt_ms is not None:
            self._windows[region].add(rtt_ms)
        elif self._failures[region] >= FAILURES_MAX:
            self._windows[region].clear()


async def connect_ms(address: str) -> float | None:
    """How long a TCP connection to host:port takes to be made, ms; None: not within TIMEOUT_S, or not at all."""
    loop = asyncio.get_running_loop()
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(TIMEOUT_S):
            found = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, kind, protocol, _, at = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setblocking(False)
            started_s = loop.time()
            async with asyncio.timeout(TIMEOUT_S):
                await loop.sock_connect(probe, at)
            return (loop.time() - started_s) * 1000
    except (OSError, ValueError, IndexError):  # TimeoutError is an OSError
        return None
