"""The agent's I/O: heartbeats out at the ordered interval, orders and checks in. One per connection.

In: a bus that comes and goes. `run` lasts until it is told to end, whatever becomes of NATS meanwhile.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from libs.bus.errors import BusError, BusUnavailable
from libs.bus.port import Bus, Subscription
from libs.events import HostCheck, HostCheckReply, HostDial, HostId, HostOrder, HostSpeed, HostSpeedReply, MapName, Region
from libs.events.orders import WRONG_BUNDLE
from libs.runtime.clock import Clock
from libs.runtime.loop import unless
from services.agent.core import Agent
from services.agent.ports import BridgeLink, Dials, MapServers, Metrics

PING_TIMEOUT_S = 2.0
PING_S = 1.0
FIRST_PINGS = 10
FIRST_PING_S = 0.1
"""The first come quickly: a host is known by its latency a second after it came."""
GOODBYE_TIMEOUT_S = 10.0
"""How long a leaving agent waits for its maps to be taken."""
GOODBYE_S = 0.25
"""A leaving agent says so this often."""
CHECK_MS = 50
"""How often a change of a map's state is looked for; it is said at once, not at the next heartbeat."""
LISTEN_AGAIN_S = 0.25
"""Before a subscription is tried again that NATS did not confirm."""
_LOG = logging.getLogger(__name__)


class Displaced(BusError):
    """Another agent with this host's identity came later, and counts. Give up: one of the two has to end."""

    def __init__(self, host: HostId) -> None:
        super().__init__(
            f"another agent uses the identity of {host}, and it came later: this one ends. If you started no other, "
            f"somebody has your seed file: tell the operator"
        )


class AgentShell:
    """Also the `ServerSide` its machine measures against."""

    def __init__(
        self,
        agent: Agent,
        bus: Bus,
        metrics: Metrics,
        servers: MapServers,
        clock: Clock,
        link: BridgeLink | None = None,
        *,
        dials: Dials | None = None,
        on_other_bundle: Callable[[], None] = lambda: None,
        away: Callable[[], bool] = lambda: False,
    ) -> None:
        """on_other_bundle(): the server wants maps run with another bundle than this machine's. away(): the player has the
        machine to himself, or it could serve no map; heartbeats say `leaving`, and all else goes on (docs/adr/0024, 0026)."""
        self._agent, self._bus, self._metrics, self._servers, self._clock = agent, bus, metrics, servers, clock
        self._link, self._dials, self._on_other_bundle, self._away = link, dials, on_other_bundle, away
        self._news = asyncio.Event()
        self._at_once = False
        self._leaving = False
        self._displaced = False
        self._told: set[str] = set()
        self._notes: list[str] = []

    @property
    def host(self) -> HostId:
        return self._agent.identity.host

    @property
    def serving(self) -> bool:
        return bool(self._agent.wanted)

    @property
    def regions(self) -> Mapping[Region, str]:
        return self._agent.order.regions if self._agent.order is not None else {}

    async def run(self, stopped: asyncio.Event) -> None:
        """Beats until `stopped`, then says goodbye and waits for its maps to be taken.

        Raises:
            Displaced: another agent has this identity.
            AuthorizationFailed: the server does not permit a host's subscriptions.
        """
        subscriptions: list[Subscription] = []
        try:
            if not await self._listen(stopped, subscriptions):
                return
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(self._ping()), group.create_task(self._metrics.keep_measuring(self))]
                await self._beat_until(stopped)
                if not self._displaced:
                    await self._leave()
                for task in beside:
                    task.cancel()
            if self._displaced:
                raise Displaced(self.host)
        finally:
            await self._servers.close()
            for subscription in subscriptions:
                await subscription.close()

    def beat(self, *, leaving: bool = False) -> None:
        """One heartbeat now."""
        now_ms = self._clock.now_ms()
        reports = self._servers.reports(now_ms)
        link = self._link.report if self._link is not None else None
        dials = self._dials is not None
        players_max = self._dials.players_max if self._dials is not None else None
        said = self._agent.metrics(
            self._metrics.measure(),
            reports,
            now_ms,
            leaving=leaving or self._away(),
            link=link,
            dials=dials,
            players_max=players_max,
        )
        self._bus.say(said)

    def beat_soon(self) -> None:
        """One heartbeat as soon as may be: the connection is there again, or the machine woke."""
        self._at_once = True
        self._news.set()

    async def ask_speed(self, request: HostSpeed, timeout_s: float) -> HostSpeedReply | None:
        reply = await self._bus.ask(request, timeout_s)
        return reply if isinstance(reply, HostSpeedReply) else None

    async def _listen(self, stopped: asyncio.Event, subscriptions: list[Subscription]) -> bool:
        """NATS may die just now: then again, until it is there. False: stopped meanwhile."""
        openings: list[Callable[[], Awaitable[Subscription]]] = [
            lambda: self._bus.hear(HostOrder, self._on_order, token=self.host),
            lambda: self._bus.answer(HostCheck, self._on_check, token=self.host),
        ]
        if (dials := self._dials) is not None:
            openings.append(lambda: self._bus.answer(HostDial, dials.answer, token=self.host))

        async def listen() -> bool:
            for open_one in openings:
                while True:
                    try:
                        subscriptions.append(await open_one())
                        break
                    except BusUnavailable as error:
                        _LOG.debug("not listening yet: %s", error)
                        await asyncio.sleep(LISTEN_AGAIN_S)
            return True

        return bool(await unless(stopped, listen()))

    async def _beat_until(self, stopped: asyncio.Event) -> None:
        said: dict[MapName, str] = {}
        next_ms = 0
        while not stopped.is_set() and not self._displaced:
            now_ms = self._clock.now_ms()
            states: dict[MapName, str] = {name: report.state for name, report in self._servers.reports(now_ms).items()}
            if now_ms >= next_ms or states != said or self._at_once:
                self._at_once = False
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
        """Meanwhile what runs goes on running: its players are moved from here, and the last of them ends it."""
        self._leaving = True
        deadline_ms = self._clock.now_ms() + GOODBYE_TIMEOUT_S * 1000
        self.beat(leaving=True)
        while self._holds_maps() and self._clock.now_ms() < deadline_ms:
            await asyncio.sleep(GOODBYE_S)
            self.beat(leaving=True)

    def _holds_maps(self) -> bool:
        reports = self._servers.reports(self._clock.now_ms())
        return bool(self._agent.wanted) or any(report.players for report in reports.values())

    async def _ping(self) -> None:
        number = 0
        while True:
            try:
                self._metrics.observe_round_trip(await self._bus.ping(PING_TIMEOUT_S))
            except BusUnavailable:
                _LOG.debug("no answer to a ping")
            number += 1
            await asyncio.sleep(FIRST_PING_S if number < FIRST_PINGS else PING_S)

    def _on_order(self, order: HostOrder) -> None:
        if self._agent.is_displaced_by(order):
            self._displaced = True
            self._news.set()
        elif self._agent.on_order(order):
            self._tell(order.notes)
            if order.link is not None and self._link is not None:
                self._link.offer(order.link)
            if not self._leaving:
                self._servers.obey(order.maps, self._clock.now_ms())
            self._news.set()

    def _tell(self, notes: list[str]) -> None:
        """What the registry says to this host's player, each thing once; the value in it may change all the time."""
        told, self._told = self._told, {note.partition(":")[0] for note in notes}
        for note in notes:
            if note.partition(":")[0] not in told:
                _LOG.info("the server says: %s", note)
        if any(note.startswith(WRONG_BUNDLE) and note not in self._notes for note in notes):
            self._on_other_bundle()
        self._notes = notes

    async def _on_check(self, check: HostCheck) -> HostCheckReply:
        return self._agent.answer(check)
