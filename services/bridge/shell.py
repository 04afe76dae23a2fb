"""The bridge's I/O: listeners for map-servers, hosts and relays, the connection to the char-server, the bus when it is there.

Every input goes to the core at once, its effects are performed before the next. The bus comes and goes; nothing waits for it.
"""

import asyncio
import logging
import secrets
from pathlib import Path

from libs.bus.errors import BusError
from libs.bus.nats import NatsBus, connect
from libs.bus.port import Start
from libs.config import Settings
from libs.events import HostId, NodeName, PlayersOnline, PlayersOnlineReply, Stream
from libs.link.keys import taking_context
from libs.link.messages import BridgeHello, RelayHello, RelaySays
from libs.link.peer import Peer, serve
from libs.link.tls import BadIdentity, server_context
from libs.rathena.inter_link import Keepalive
from libs.rathena.packets import BadPacket
from libs.runtime.clock import Clock
from libs.runtime.process import node_name
from libs.runtime.shell import Shell
from libs.runtime.telemetry import Counters, start_telemetry
from services.bridge import memory
from services.bridge.admission import Admission
from services.bridge.agents import Agents
from services.bridge.core import Bridge
from services.bridge.hands import Hands
from services.bridge.hosts import LabLinks
from services.bridge.links import CharLink, Links, listen
from services.bridge.settings import CannotStart, layout_of, rules_of

TICK_S = 0.02
BUS_RETRY_S = 1.0
CATCH_UP_TIMEOUT_S = 30.0
_LOG = logging.getLogger(__name__)


class BridgeProcess:
    """`start`, then `run` until cancelled, then `close`. open_: hosts link without a ticket where no keys are configured; for
    labs and tests on loopback."""

    def __init__(self, settings: Settings, *, open_: bool = False) -> None:
        self._settings = settings
        self._clock = Clock()
        self._store = Path(settings.bridge.store) if settings.bridge.store else None
        remembered = memory.load(self._store)
        self.name = NodeName(node_name("bridge"))
        rules = rules_of(settings, self.name)
        self.core = Bridge(rules, layout_of(settings), lambda: secrets.randbits(32), remembered.relays)
        self.core.state.world, self.core.state.spent = remembered.world(), dict(remembered.spent)
        self.core.on_stepped = self._do
        self.links = Links(self._on_linked, self._on_packets, self._on_gone)
        self._open = open_
        self.agents: Agents | None = None
        host, _, port = settings.bridge.char_server.rpartition(":")
        self.char = CharLink(
            host,
            int(port),
            on_up=self._on_char_up,
            on_packets=self._on_char_packets,
            on_down=self._on_char_down,
            pause=self._pause,
        )
        self._peers: dict[int, Peer[RelaySays]] = {}
        self.hands = Hands(self.links, self.char, self._peers)
        self._peer_number = 0
        self._listeners: list[asyncio.Server] = []
        self._relays_listener: object | None = None
        self._shell: Shell | None = None
        self._bus: NatsBus | None = None
        self._bus_up = False
        self._memory = memory.Keeper(self._store, self.core)

    async def start(self) -> None:
        """
        Raises:
            CannotStart: an address is taken, a directory or a file is not what it should be.
        """
        bridge = self._settings.bridge
        try:
            context = server_context(Path(bridge.tls)) if bridge.tls else None
            self._listeners.append(await listen(self.links.protocol, bridge.map_servers))
            if bridge.tickets:
                self._listeners.append(await self._take_agents(Path(bridge.tickets)))
            elif self._open:
                self._listeners.append(await listen(LabLinks(self.links, self._on_host).protocol, bridge.hosts))
            self._relays_listener = await serve(bridge.relays, context, RelaySays, self._on_peer)
        except (OSError, ValueError, BadIdentity) as error:
            raise CannotStart(f"the bridge cannot listen: {error}") from None

    async def _take_agents(self, directory: Path) -> asyncio.Server:
        """Raises: BadIdentity, OSError."""
        admission = Admission.read(directory, self._store, self._now_ms)
        self.agents = Agents(
            self.links,
            admission,
            on_host=self._on_host,
            on_doubt=self._on_doubt,
            on_refused=self._on_refused,
            now_ms=self._clock.now_ms,
        )
        return await listen(self.agents.protocol, self._settings.bridge.hosts, taking_context(directory))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.char.run(Keepalive().pack()), name="char-server")
            tasks.create_task(self._tick(), name="tick")
            tasks.create_task(self._memory.run(), name="remember")
            tasks.create_task(self._live_on_bus(), name="bus")

    async def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        if self._relays_listener is not None:
            await self._relays_listener.close()  # type: ignore[attr-defined]
        if self.agents is not None:
            self.agents.close()
        self.links.close()
        self.char.close()
        self._memory.keep()

    def status(self) -> dict[str, object]:
        """For /healthz."""
        state = self.core.state
        return {
            "char_server": self.core.slot.up,
            "bus": self._bus_up,
            "relays": self.core.relays(),
            "agents": len(self.agents) if self.agents is not None else 0,
            "servers": sorted(node.server for node in state.nodes if node.ready),
            "players": len(state.players),
            "saved_bytes": self.core.gate.passed_bytes,
            "reports": dict(self.hands.reports),
        }

    # -- inputs -------------------------------------------------------------------------------------------------------

    @property
    def _now_ms(self) -> int:
        return self._clock.now_ms()

    def _on_linked(self, number: int) -> None:
        self.core.node_linked(number, self._now_ms)
        self._perform()

    def _on_host(self, number: int, host: str, map_name: str, ip: bytes, port: int, key: str) -> None:
        self.core.node_linked(number, self._now_ms, host=HostId(host), map_name=map_name, ip=ip, port=port, key=key)
        self._perform()

    def _on_doubt(self, number: int, doubtful: bool) -> None:
        self.core.doubt.link(number, doubtful, self._now_ms)
        self._perform()

    def _on_refused(self, host: str | None, why: str, detail: str) -> None:
        self.core.said.link_refused(HostId(host) if host else None, why, detail, self._now_ms)
        self._perform()

    def _on_packets(self, number: int, packets: list[bytes]) -> None:
        now_ms = self._now_ms
        for packet in packets:
            self.core.node_packet(number, packet, now_ms)
        self._perform()

    def _on_gone(self, number: int) -> None:
        self.core.node_lost(number, self._now_ms)
        self._perform()

    def _on_char_up(self) -> None:
        self.core.char_connected(self._now_ms)
        self._perform()
        self.hands.flush()

    def _on_char_packets(self, packets: list[bytes]) -> None:
        now_ms = self._now_ms
        for packet in packets:
            try:
                self.core.char_packet(packet, now_ms)
            except BadPacket as error:
                _LOG.error("the char-server: %s", error)
        self.char.refused = self.core.slot.refused
        self._perform()
        if self.char.refused:
            _LOG.error("the char-server refuses us: wrong userid or passwd, or both of its map-server slots are taken")
            self.char.close()

    def _on_char_down(self) -> None:
        self.core.char_lost(self._now_ms)
        self._perform()

    def _pause(self, paused: bool) -> None:
        self.links.pause(paused)
        self.core.pulse.deaf = paused

    def _on_peer(self, peer: Peer[RelaySays]) -> "_Relay":
        self._peer_number += 1
        self._peers[self._peer_number] = peer
        return _Relay(self, self._peer_number, peer)

    def relay_says(self, number: int, message: RelaySays) -> None:
        if isinstance(message, RelayHello):
            self._peers[number].say(BridgeHello(bridge=self.name, incarnation=self.name))
            self.core.relay_linked(number, message, self._now_ms)
        else:
            self.core.relay_says(number, message, self._now_ms)
        self._perform()

    def relay_lost(self, number: int) -> None:
        self._peers.pop(number, None)
        self.core.relay_lost(number, self._now_ms)
        self._perform()

    # -- effects ------------------------------------------------------------------------------------------------------

    def _perform(self) -> None:
        self._do()
        if self._shell is not None:
            self._shell.wake()

    def _do(self) -> None:
        self.hands.perform(self.core.take())

    # -- tasks --------------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            bus_up = self._bus is not None and self._bus.connected
            if bus_up != self._bus_up:
                self._bus_up = bus_up
                self.core.on_bus(bus_up, self._now_ms)
            self.core.tick(self._now_ms)
            self._perform()

    async def _live_on_bus(self) -> None:
        """One connection after another; each one's end begins the next."""
        while True:
            try:
                await self._on_bus()
            except BusError as error:
                _LOG.warning("NATS: %s", error)
            await asyncio.sleep(BUS_RETRY_S)

    async def _on_bus(self) -> None:
        settings, lost = self._settings, asyncio.Event()
        bus = await connect(
            settings.nats.url,
            name=self.name,
            credentials=settings.nats.credentials or None,
            on_lost=lambda _: lost.set(),
        )
        telemetry = start_telemetry("bridge", self.name, counters := Counters(), settings.monitoring.metrics_interval_s)
        try:
            await bus.ensure_streams(settings.nats.replicas)
            shell = Shell(self.core, bus, self._clock, counters, telemetry)
            self.core.begin_following()
            following = await bus.follow((Stream.HOSTS, Stream.ASSIGNMENTS), shell.on_fact, Start.LAST_PER_SUBJECT)
            await following.caught_up(CATCH_UP_TIMEOUT_S)
            shell.on_caught_up()
            await bus.answer(PlayersOnline, self._online)
            self._shell, self._bus = shell, bus
            self._perform()
            running = asyncio.ensure_future(shell.run())
            losing = asyncio.ensure_future(lost.wait())
            try:
                await asyncio.wait({running, losing}, return_when=asyncio.FIRST_COMPLETED)
                if running.done():
                    running.result()
            finally:
                for task in (running, losing):
                    task.cancel()
                await asyncio.gather(running, losing, return_exceptions=True)
        finally:
            self._shell = self._bus = None
            telemetry.close()
            await bus.close()

    async def _online(self, _: PlayersOnline) -> PlayersOnlineReply:
        return PlayersOnlineReply(at_ms=self._now_ms, accounts=self.core.said.accounts())


class _Relay:
    """Hears one relay. Implements libs.link.peer.Handler."""

    def __init__(self, process: BridgeProcess, number: int, peer: Peer[RelaySays]) -> None:
        self._process, self._number, self._peer = process, number, peer

    def on_message(self, message: RelaySays) -> None:
        self._process.relay_says(self._number, message)

    def on_lost(self, reason: str) -> None:  # noqa: ARG002
        self._process.relay_lost(self._number)
