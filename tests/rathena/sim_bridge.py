"""The bridge's core in a made-up world, by a seed: python -m tests.rathena.sim_chaos --seed 7

A virtual clock; a char-server, map-servers of the VPS and of hosts, a relay with clients, a bus, all models that are late by
chance, in order on each link. Things break at random for a while, then everything is whole again: whoever is in the game has to
end up playing on the server that serves his map. What must hold on the way: `witness`. Breaking things: `sim_chaos`.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

from libs.events import Fact, HostId, MapMoved, SaveVerdict, Stream
from libs.hosting.effects import Append, Ask
from libs.hosting.world import World as Log
from libs.link.messages import RelaySays
from libs.rathena.layout import shipped
from services.bridge.core import Bridge
from services.bridge.effects import Cut, Down, Effect, Tell, Up
from tests.rathena.sim_models import ModelChar, ModelServer, fresh_status
from tests.rathena.sim_relay import Client, ModelRelay
from tests.rathena.sim_words import RULES, Wire, assignment
from tests.rathena.twin.people import person
from tests.rathena.witness import Witness

TICK_MS = 50
SETTLE_MS = 150_000
"""A final save nobody acknowledged is given up after 60 s, twice in a row at worst."""
FIELDS = ("field_a", "field_b", "field_c")
TOWN = "town"
PLAYERS = 5
START_MS = 1_000_000
STORY_LINES = 40


@dataclass
class World:
    seed: int
    now_ms: int = START_MS
    moved: list[MapMoved] = field(default_factory=list)
    story: deque[str] = field(default_factory=lambda: deque(maxlen=STORY_LINES))

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._wires: dict[object, Wire] = {}
        self._count = self._serial = self._links = self._seq = 0
        self.char = ModelChar(self)
        self.relay = ModelRelay(self)
        self.assigned: dict[str, Fact] = {}
        self.hosts: dict[int, str | None] = {}
        self.servers = [ModelServer(self, "", 101, (TOWN,)), ModelServer(self, "", 102, FIELDS)]
        self.servers += [
            ModelServer(self, f"host{n}", 110 + 10 * n + m, (name,)) for n in range(3) for m, name in enumerate(FIELDS)
        ]
        self.links: dict[int, ModelServer] = {}
        self.char_up = self.bus_up = False
        self.witness: Witness
        for number in range(PLAYERS):
            self.char.status[person(number).char_id] = fresh_status(number, self.random.choice((TOWN, *FIELDS)))
            self.relay.clients.append(Client(number))
        self.start_bridge(())
        self.later(TICK_MS, self._tick)

    # -- the bridge as a process ---------------------------------------------------------------------------------------

    def start_bridge(self, relays: tuple[str, ...], log: Log | None = None, spent: dict[bytes, int] | None = None) -> None:
        known = self.witness.real_ids if hasattr(self, "witness") else set()
        bridge = Bridge(RULES, shipped(), lambda: self.random.getrandbits(32), relays)
        bridge.state.world, bridge.state.spent = log or Log(), dict(spent or {})
        self.witness = Witness(bridge)
        self.witness.real_ids = known
        self.char_up = self.bus_up = False

    def kill_bridge(self) -> None:
        """Every connection of it breaks; a new one starts with what was remembered."""
        state, relays = self.witness.bridge.state, tuple(self.witness.bridge.relays())
        for link in list(self.links):
            self.break_link(link, tell_bridge=False)
        self.break_wire("char"), self.break_wire("relay")
        self.relay.peer = 0
        self.start_bridge(relays, state.world, state.spent)

    def do(self, name: str, *given: Any, **named: Any) -> None:
        """An input of the bridge now."""
        self.perform(self.witness.do(name, *given, self.now_ms, **named))
        if self.bus_up:
            self._step()

    def _step(self) -> None:
        said, effects = self.witness.step(self.now_ms)
        for effect in said:
            if isinstance(effect, Ask):
                self.later(self.random.randint(1, 60), self._answer, self.witness, effect)
            elif isinstance(effect, Append) and isinstance(effect.event, MapMoved):
                self._moved(effect.event)
                self.tell(
                    f"moved {effect.event.map}: {effect.event.outcome} to {effect.event.to}, tenure {effect.event.tenure}"
                )
        self.perform(effects)

    def _moved(self, moved: MapMoved) -> None:
        assert moved.tenure in self.hosts, f"{moved.map} moved in tenure {moved.tenure}, which nobody wrote"
        meant = self.hosts[moved.tenure]
        allowed = (meant,) if moved.outcome == "moved" else (meant, None)
        assert moved.to in allowed, f"{moved.map} went to {moved.to}, {meant} was meant"
        assert 0 <= moved.players <= PLAYERS, f"{moved.players} players of {PLAYERS} moved"
        self.moved.append(moved)

    def _answer(self, witness: Witness, ask: Ask) -> None:
        if witness is not self.witness:
            return
        chance = self.random.random()
        reply = SaveVerdict(verdict="pass" if chance < 0.95 else "hold", reason="") if self.bus_up and chance < 0.97 else None
        self.do("on_reply", ask, reply)

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Up) and self.char_up:
                self.post("char", self._at_char, effect.packet)
            elif isinstance(effect, Down) and effect.link in self.links:
                self.post(("down", effect.link), self._at_server, effect.link, effect.packet)
            elif isinstance(effect, Tell) and effect.peer == self.relay.peer:
                self.post(("relay", "down"), self.relay.hear, effect.message)
            elif isinstance(effect, Cut) and effect.link in self.links:
                self.tell(f"cut {effect.link}: {effect.reason}")
                self.break_link(effect.link, tell_bridge=True)

    def _tick(self) -> None:
        self.do("tick")
        self.later(TICK_MS, self._tick)

    # -- time and wires ------------------------------------------------------------------------------------------------

    def later(self, ms: int, call: Callable[..., None], *given: Any) -> None:
        self._count += 1
        heappush(self._queue, (self.now_ms + ms, self._count, call, given))

    def post(self, wire_name: object, call: Callable[..., None], *given: Any) -> None:
        """Over a wire, in order, late by chance; lost if the wire breaks before."""
        wire = self._wires.setdefault(wire_name, Wire())
        late_ms = self.random.choice((0, 1, 1, 2, 5, 20, 80))
        wire.last_ms = max(wire.last_ms, self.now_ms + late_ms)
        self.later(wire.last_ms - self.now_ms, self._arrive, wire, wire.epoch, call, given)

    def _arrive(self, wire: Wire, epoch: int, call: Callable[..., None], given: tuple[Any, ...]) -> None:
        if wire.epoch == epoch:
            call(*given)

    def break_wire(self, name: object) -> None:
        for wire_name, wire in self._wires.items():
            if wire_name == name or (isinstance(wire_name, tuple) and wire_name[0] == name):
                wire.epoch += 1

    def run(self, until_ms: int) -> None:
        while self._queue and self._queue[0][0] <= until_ms:
            self.now_ms, _, call, given = heappop(self._queue)
            call(*given)
        self.now_ms = until_ms

    def serial(self) -> int:
        """Makes each save another."""
        self._serial += 1
        return self._serial

    def real_id(self) -> int:
        made = self.random.getrandbits(32) | 0x8080_8080
        self.witness.real_ids.add(made.to_bytes(4, "little"))
        return made

    def tell(self, what: str) -> None:
        self.story.append(f"{(self.now_ms - START_MS) / 1000:8.3f} {what}")

    # -- the char-server -----------------------------------------------------------------------------------------------

    def char_connects(self) -> None:
        if not self.char_up:
            self.char_up = True
            self.do("char_connected")

    def char_breaks(self) -> None:
        if self.char_up:
            self.char_up = False
            self.break_wire("char")
            self.do("char_lost")

    def _at_char(self, packet: bytes) -> None:
        for answer in self.char.hear(packet):
            self.post(("char", "down"), self.do, "char_packet", answer)

    # -- map-servers ---------------------------------------------------------------------------------------------------

    def link(self, server: ModelServer) -> None:
        """A server that lives connects to the bridge."""
        if not server.alive or server.frozen or server.link:
            return
        self._links += 1
        self.links[self._links] = server
        if server.host:
            host = {"host": HostId(server.host), "map_name": server.maps[0], "ip": server.ip, "port": server.port}
            self.do("node_linked", self._links, **host)
        else:
            self.do("node_linked", self._links)
        server.linked(self._links)

    def break_link(self, link: int, *, tell_bridge: bool) -> None:
        server = self.links.pop(link)
        self._wires.setdefault(("up", link), Wire()).epoch += 1
        self._wires.setdefault(("down", link), Wire()).epoch += 1
        if tell_bridge:
            self.do("node_lost", link)
        if server.link == link:
            self.to_server(server, "unlinked")
            self.later(self.random.randint(100, 2_000), self.link, server)

    def to_bridge(self, server: ModelServer, packet: bytes) -> None:
        self.post(("up", server.link), self._at_bridge, server.link, packet)

    def _at_bridge(self, link: int, packet: bytes) -> None:
        if link in self.links:
            self.perform_node(link, packet)

    def perform_node(self, link: int, packet: bytes) -> None:
        self.perform(self.witness.do("node_packet", link, packet, self.now_ms))
        if self.bus_up:
            self._step()

    def _at_server(self, link: int, packet: bytes) -> None:
        server = self.links.get(link)
        if server is not None and server.link == link:
            self.at_server(server, "hear", packet)

    def to_server(self, server: ModelServer, method: str, *given: Any) -> None:
        self.post(("to", id(server)), self.at_server, server, method, *given)

    def at_server(self, server: ModelServer, method: str, *given: Any) -> None:
        """A frozen server hears it later, a dead one never."""
        if server.frozen:
            server.waiting.append((method, *given))
        elif server.alive:
            getattr(server, method)(*given)

    def from_server(self, server: ModelServer, call: Callable[..., None], *given: Any) -> None:
        self.post(("from", id(server)), call, *given)

    def at(self, address: str, port: int) -> ModelServer | None:
        """Who listens there."""
        for server in self.servers:
            if (".".join(map(str, server.ip)), server.port) == (address, port) and server.alive:
                return server
        return None

    # -- the relay, the bus --------------------------------------------------------------------------------------------

    def relay_connects(self) -> None:
        if not self.relay.peer:
            self._links += 1
            self.relay.peer = self._links
            for message in self.relay.hello():
                self.to_bridge_from_relay(message)

    def relay_breaks(self) -> None:
        if self.relay.peer:
            peer, self.relay.peer = self.relay.peer, 0
            self.break_wire("relay")
            self.do("relay_lost", peer)

    def to_bridge_from_relay(self, message: RelaySays) -> None:
        if self.relay.peer:
            self.post(("relay", "up"), self._from_relay, self.relay.peer, message)

    def _from_relay(self, peer: int, message: RelaySays) -> None:
        hello = type(message).__name__ == "RelayHello"
        self.do("relay_linked" if hello else "relay_says", peer, message)

    def bus_connects(self) -> None:
        if not self.bus_up:
            self.witness.bridge.begin_following()
            for fact in sorted(self.assigned.values(), key=lambda fact: fact.seq):
                self.do("on_fact", fact)
            self.do("on_caught_up")
            self.bus_up = True
            self.do("on_bus", True)

    def bus_breaks(self) -> None:
        if self.bus_up:
            self.bus_up = False
            self.break_wire("bus")
            self.do("on_bus", False)

    def assign(self, name: str, host: str | None) -> None:
        self._seq += 1
        self.tell(f"assign {name} to {host}, tenure {self._seq}")
        self.hosts[self._seq] = host
        self.assigned[name] = fact = Fact(Stream.ASSIGNMENTS, self._seq, assignment(name, host, self.now_ms))
        if self.bus_up:
            self.post("bus", self.do, "on_fact", fact)
