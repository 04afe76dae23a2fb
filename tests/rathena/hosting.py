"""Hosts for tests of bridge and relay: the real agent's core and shell on a made-up machine, and a twin map-server in a process
of its own for each map it is ordered to run. Named so: the machine is made up, the map-servers are twins.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence

import msgspec

from libs.bus.nats import NatsBus, connect
from libs.events import HostId, Link, MapName, MapReport, OrderedMap, Region
from libs.runtime.clock import Clock
from services.agent.core import Agent, Identity, Measured
from services.agent.dialing import Dialing, Limits
from services.agent.link import AgentLink
from services.agent.link_events import LinkEvent
from services.agent.shell import AgentShell
from services.agent.simulated import SimulatedMachine
from tests.rathena.surroundings import free_ports
from tests.rathena.twin.process import TwinProcess

RESTART_S = 0.5
DRAIN_S, DRAIN_POLL_S = 10.0, 0.05


class TwinServers:
    """A `MapServers` (services/agent/ports.py): one twin process a map. bridge: where they link by themselves, in a lab; link:
    the agent's, by which they do otherwise. words: for each of them."""

    def __init__(self, host: HostId, bridge: str, words: Sequence[str], link: AgentLink | None = None) -> None:
        self._host, self._bridge, self._words, self._link = host, bridge, words, link
        self._orders: dict[MapName, OrderedMap] = {}
        self._states: dict[MapName, str] = {}
        self._lives: dict[MapName, asyncio.Task[None]] = {}
        self._ends: dict[MapName, asyncio.Task[None]] = {}
        self._ports: dict[MapName, int] = {}
        self._started: set[MapName] = set()
        self.running: dict[MapName, TwinProcess] = {}
        self.unordered_ends: list[MapName] = []
        self.on_change = lambda: None
        self.deaf = False

    def obey(self, wanted: dict[MapName, OrderedMap], now_ms: int) -> None:
        if self.deaf:
            return
        for name in self._lives.keys() - wanted.keys():
            self._states.pop(name, None)
            ending = self._end(self._lives.pop(name), self.running.get(name), self._ends.get(name))
            self._ends[name] = asyncio.create_task(ending, name=f"{self._host}/{name} ends")
        for name in wanted.keys() - self._lives.keys():
            self._states[name] = "starting"
            self._lives[name] = asyncio.create_task(self._live(name), name=f"{self._host}/{name}")
        self._orders = dict(wanted)

    def reports(self, now_ms: int) -> dict[MapName, MapReport]:
        return {
            name: MapReport(tenure=self._orders[name].tenure, state=state)  # type: ignore[arg-type]
            for name, state in self._states.items()
            if name in self._orders
        }

    async def close(self) -> None:
        for task in (*self._lives.values(), *self._ends.values()):
            task.cancel()
        await asyncio.gather(*self._lives.values(), *self._ends.values(), return_exceptions=True)

    async def _end(self, life: asyncio.Task[None], server: TwinProcess | None, before: asyncio.Task[None] | None) -> None:
        """No order for it any more: its players are moved away first, each saved; who is left then is saved by its end."""
        try:
            if before is not None:
                await before
            if server is not None and server.process.returncode is None:
                with contextlib.suppress(TimeoutError, OSError, ValueError):
                    async with asyncio.timeout(DRAIN_S):
                        while await server.ask("players"):  # noqa: ASYNC110 - it is another process's
                            await asyncio.sleep(DRAIN_POLL_S)
                server.terminate()
                await server.process.wait()
        finally:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)

    async def _live(self, name: MapName) -> None:
        """Runs it as long as it is ordered; what dies has failed, and is started again."""
        if (ending := self._ends.get(name)) is not None:
            await ending
        while True:
            async with TwinProcess.started("map", "--maps", name, *await self._way(name), *self._words) as server:
                self._started.add(name)
                try:
                    await server.ask("linked")
                    self.running[name] = server
                    self._say(name, "ready")
                    await server.process.wait()
                finally:
                    self._started.discard(name)
                    self.running.pop(name, None)
            if name in self._lives:
                self.unordered_ends.append(name)
            self._say(name, "failed")
            await asyncio.sleep(RESTART_S)
            self._say(name, "starting")

    async def _way(self, name: MapName) -> tuple[str, ...]:
        """To its char-server."""
        if self._link is None:
            return ("--char", self._bridge, "--host", self._host)
        port = self._ports[name] = free_ports(name)[name]
        return ("--char", f"127.0.0.1:{await self._link.open(name)}", "--port", str(port))

    def port_of(self, map: MapName) -> int | None:  # noqa: A002 - the port's shape (`Doors`)
        return self._ports[map] if map in self._started else None  # the bridge may know sooner than we that it is ready

    def _say(self, name: MapName, state: str) -> None:
        self._states[name] = state
        self.on_change()


class _Through(AgentLink):
    """An agent's link whose way to the bridge leads through a proxy on loopback. through: its port; None: no proxy."""

    def __init__(
        self, host: HostId, on_event: Callable[[LinkEvent], None], on_need: Callable[[], object], through: int | None
    ) -> None:
        super().__init__(host, on_event, lambda: (on_need(), None)[1])
        self._through = through

    def offer(self, link: Link) -> None:
        super().offer(link if self._through is None else msgspec.structs.replace(link, port=self._through))


class TwinHost:
    """One player's machine. `come`, then `vanish`. bridge: where its map-servers link by themselves; None: through its agent's
    link, which goes through the proxy at `through` if there is one, and the agent dials its players' relays within `limits`."""

    def __init__(
        self,
        url: str,
        name: str,
        bridge: str | None,
        *,
        number: int,
        words: Sequence[str] = (),
        through: int | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        self.id = HostId(name)
        self.events: list[LinkEvent] = []
        self.link = _Through(self.id, self.events.append, lambda: self._shell and self._shell.beat_soon(), through)
        self._linking: asyncio.Task[None] | None = None
        self.servers = TwinServers(self.id, bridge or "", words, self.link if bridge is None else None)
        self._url, self._linked = url, bridge is None
        self._agent = Agent(Identity(self.id, 3_000_000 + number, Region("eu")))
        self._measured = Measured(
            address=f"203.0.{113 + number}.1" if bridge is not None else None,
            port=6121,
            cpu_ghz=4.0,
            cpu_cores=8,
            free_ram_mb=24_000.0,
            net_mbps=900.0,
            latency_ms=8.0,
            jitter_ms=1.5,
            packet_rate=2_000.0,
            bundle="twin",
        )
        self.paused = False
        self.limits = limits
        self.dialing: Dialing | None = None
        self._bus: NatsBus | None = None
        self._running: asyncio.Task[None] | None = None
        self._shell: AgentShell | None = None

    async def come(self) -> None:
        self._bus = await connect(self._url, name=self.id, connect_timeout_s=15.0)
        machine = SimulatedMachine(self._measured, random.Random(self.id))
        paused = lambda: self.paused  # noqa: E731
        if self._linked:
            self.dialing = Dialing(self.id, self.link, self.servers, self.limits)
        bus, servers = self._bus, self.servers
        self._shell = shell = AgentShell(
            self._agent, bus, machine, servers, Clock(), self.link, dials=self.dialing, away=paused
        )
        self._linking = asyncio.create_task(self.link.run(), name=f"link {self.id}")
        self.servers.on_change = shell.beat
        self._running = asyncio.create_task(shell.run(asyncio.Event()), name=f"agent {self.id}")

    def pause(self, paused: bool) -> None:
        """The player's word."""
        assert self._shell is not None
        self.paused = paused
        self._shell.beat_soon()

    def freeze(self) -> None:
        """As if the machine stood still: its map-servers are stopped, its agent says and hears nothing."""
        assert self._shell is not None
        self._shell.beat = lambda **_: None  # type: ignore[method-assign]
        self.servers.on_change = lambda: None
        self.servers.deaf = True
        for server in self.servers.running.values():
            server.freeze()

    def thaw(self) -> None:
        """Its map-servers go on; its agent stays silent, so that nobody tells them to end."""
        for server in self.servers.running.values():
            server.thaw()

    def die(self) -> None:
        """As kill -9 of the agent: its connections end, its map-servers end with it, nobody says a word. Then `vanish`."""
        assert self._running is not None
        assert self._linking is not None
        if self.link._carried.uplink is not None:
            self.link._carried.uplink.abort("killed")
        if self.dialing is not None:
            for pipe in [*self.dialing._pipes, *self.dialing._standing.pipes]:
                pipe.abort("killed")
        self._linking.cancel()
        self._running.cancel()
        self.servers.on_change = lambda: None
        for server in self.servers.running.values():
            server.kill()

    async def vanish(self) -> None:
        """Gone without a word, its map-servers too."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        if self._linking is not None:
            self._linking.cancel()
            await asyncio.gather(self._linking, return_exceptions=True)
        if self.dialing is not None:
            await self.dialing.close()
        await self.servers.close()
        if self._bus is not None:
            await self._bus.close()
