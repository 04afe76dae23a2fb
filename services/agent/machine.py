"""The real machine, measured. What is not measured is absent, never guessed.

Quick things at each heartbeat (cores, memory), the path to NATS by the shell's pings, the rest in `keep_measuring`: clock and
line at the start and then rarely, never while maps run here; the relays now and then (processor, speed, relays).
"""

import asyncio
import logging
import random
from collections.abc import Callable

import psutil

from libs.runtime.clock import Clock
from services.agent.core import Measured
from services.agent.platforms import usable_cores
from services.agent.ports import ServerSide
from services.agent.processor import cpu_ghz
from services.agent.relays import Relays
from services.agent.speed import Speed, measure
from services.agent.window import Window

WINDOW = 60
"""Round trips to NATS remembered: a minute; p50 and p95 are taken over them."""
MB = 1024 * 1024
CLOCK_EVERY_S = 3600.0
LINE_EVERY_S = 6 * 3600.0
"""With a spread of half: thousands of hosts that came together do not measure together for ever."""
LINE_FIRST_S = (0.5, 5.0)
LINE_AGAIN_S = 60.0
"""After a transfer that showed nothing."""
SERVING_WAIT_S = 30.0
"""How often an agent that serves looks whether it still does."""
_LOG = logging.getLogger(__name__)


class RealMachine:
    """A `Metrics` source. address, port: where its map-servers listen, as configured. bundle(): the version they are run
    with; bundle_refused(): why not a newer one."""

    def __init__(
        self,
        address: str | None,
        port: int,
        clock: Clock,
        rng: random.Random,
        bundle: Callable[[], str | None] = lambda: None,
        bundle_refused: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._address, self._port, self._clock, self._rng = address, port, clock, rng
        self._bundle, self._bundle_refused = bundle, bundle_refused
        self._window = Window(WINDOW)
        self._cpu_ghz: float | None = None
        self._speed = Speed()
        self._relays: Relays | None = None
        self._transferring = False
        self._transfer_end_s = 0.0
        self._another_line = asyncio.Event()

    def observe_round_trip(self, seconds: float) -> None:
        """One that our own transfer delayed says nothing of the path."""
        if not self._transferring and asyncio.get_running_loop().time() - seconds >= self._transfer_end_s:
            self._window.add(seconds * 1000)

    def on_other_path(self) -> None:
        self._window.clear()
        self._speed = Speed()
        if self._relays is not None:
            self._relays.forget()
        self._another_line.set()

    def measure(self) -> Measured:
        latency_ms, jitter_ms = self._window.p50_and_jitter()
        return Measured(
            address=self._address,
            port=self._port,
            cpu_ghz=self._cpu_ghz,
            cpu_cores=usable_cores() or psutil.cpu_count(logical=True),
            free_ram_mb=psutil.virtual_memory().available / MB,
            net_mbps=self._speed.net_mbps,
            latency_ms=latency_ms,
            jitter_ms=jitter_ms,
            packet_rate=self._speed.packet_rate,
            region_rtt_ms=self._relays.rtts() if self._relays is not None else None,
            bundle=self._bundle(),
            bundle_refused=self._bundle_refused(),
        )

    async def measure_clock(self) -> None:
        """A tenth of a second, in a thread; done before the first heartbeat, so that none claims a clock nobody looked at."""
        self._cpu_ghz = await asyncio.to_thread(cpu_ghz)

    async def keep_measuring(self, server: ServerSide) -> None:
        self._relays = Relays(lambda: server.regions, self._rng)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._relays.run())
            group.create_task(self._keep_clock(server))
            group.create_task(self._keep_line(server))

    async def measure_line(self, server: ServerSide) -> Speed:
        """One transfer; its result counts from now on, unless it showed nothing."""
        self._transferring = True
        try:
            speed = await measure(server.ask_speed, server.host, self._clock)
        finally:
            self._transferring = False
            self._transfer_end_s = asyncio.get_running_loop().time()
        if speed.net_mbps is not None:
            self._speed = speed
        return speed

    async def _keep_clock(self, server: ServerSide) -> None:
        wait_s = CLOCK_EVERY_S
        while True:
            await asyncio.sleep(wait_s * self._rng.uniform(0.5, 1.5))
            wait_s = SERVING_WAIT_S if server.serving else CLOCK_EVERY_S
            if not server.serving:
                await self.measure_clock()

    async def _keep_line(self, server: ServerSide) -> None:
        wait_s = self._rng.uniform(*LINE_FIRST_S)
        while True:
            self._another_line.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._another_line.wait()
                await asyncio.sleep(self._rng.uniform(*LINE_FIRST_S))
            except TimeoutError:
                pass
            if server.serving:
                wait_s = SERVING_WAIT_S
                continue
            speed = await self.measure_line(server)
            if speed.net_mbps is not None:
                _LOG.info("the line: %s Mbit/s", speed.note)
                wait_s = LINE_EVERY_S * self._rng.uniform(0.5, 1.5)
            else:
                _LOG.debug("the line: %s", speed.note)
                wait_s = (speed.retry_s or LINE_AGAIN_S) * self._rng.uniform(1.0, 2.0)
