"""The agent's I/O: heartbeats out at the ordered interval, orders and checks in. One per connection."""

import asyncio
import logging

from libs.bus.errors import BusUnavailable
from libs.bus.port import Bus
from libs.events import HostCheck, HostCheckReply, HostOrder, MapName
from libs.runtime.clock import Clock
from services.agent.core import Agent
from services.agent.ports import MapServers, Metrics

PING_TIMEOUT_S = 2.0
GOODBYE_TIMEOUT_S = 10.0
"""How long a leaving agent waits for its maps to be taken."""
CHECK_MS = 50
"""How often a change of a map's state is looked for; it is said at once, not at the next heartbeat."""
_LOG = logging.getLogger(__name__)


class AgentShell:
    def __init__(self, agent: Agent, bus: Bus, metrics: Metrics, servers: MapServers, clock: Clock) -> None:
        self._agent, self._bus, self._metrics, self._servers, self._clock = agent, bus, metrics, servers, clock
        self._news = asyncio.Event()

    async def run(self, stopped: asyncio.Event) -> None:
        """Beats until `stopped`, then says goodbye and waits for its maps to be taken."""
        host = self._agent.identity.host
        hearing = await self._bus.hear(HostOrder, self._on_order, token=host)
        answering = await self._bus.answer(HostCheck, self._on_check, token=host)
        pinging = asyncio.ensure_future(self._ping())
        try:
            await self._beat_until(stopped)
            await self._leave()
        finally:
            pinging.cancel()
            self._servers.close()
            await hearing.close()
            await answering.close()

    def beat(self, *, leaving: bool = False) -> None:
        """One heartbeat now."""
        now_ms = self._clock.now_ms()
        reports = self._servers.reports(now_ms)
        self._bus.say(self._agent.metrics(self._metrics.measure(), reports, now_ms, leaving=leaving))

    async def _beat_until(self, stopped: asyncio.Event) -> None:
        said: dict[MapName, str] = {}
        next_ms = 0
        while not stopped.is_set():
            now_ms = self._clock.now_ms()
            states: dict[MapName, str] = {name: report.state for name, report in self._servers.reports(now_ms).items()}
            if now_ms >= next_ms or states != said:
                self.beat()
                said, next_ms = states, now_ms + self._agent.interval_ms
            await self._wait(stopped, min(CHECK_MS, max(1, next_ms - now_ms)) if states else next_ms - now_ms)

    async def _wait(self, stopped: asyncio.Event, most_ms: int) -> None:
        """Until stopped, an order, or most_ms."""
        waits = [asyncio.ensure_future(stopped.wait()), asyncio.ensure_future(self._news.wait())]
        try:
            await asyncio.wait(waits, timeout=max(most_ms, 1) / 1000, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._news.clear()

    async def _leave(self) -> None:
        deadline_ms = self._clock.now_ms() + GOODBYE_TIMEOUT_S * 1000
        self.beat(leaving=True)
        while self._agent.wanted and self._clock.now_ms() < deadline_ms and self._bus.connected:
            await asyncio.sleep(0.25)
            self.beat(leaving=True)

    async def _ping(self) -> None:
        while True:
            try:
                self._metrics.observe_round_trip(await self._bus.ping(PING_TIMEOUT_S))
            except BusUnavailable:
                _LOG.debug("no answer to a ping")
            await asyncio.sleep(1.0)

    def _on_order(self, order: HostOrder) -> None:
        if self._agent.on_order(order):
            self._servers.obey(order.maps, self._clock.now_ms())
            self._news.set()

    async def _on_check(self, check: HostCheck) -> HostCheckReply:
        return self._agent.answer(check)
