"""The demo's simulated bridge, named so: says where players are, and that moves came about. The real one is services.bridge.

It follows what was decided, and for each new tenure says map.moved: to the VPS at once, to a host when that one is ready.
"""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Callable
from statistics import median
from typing import Literal

from libs.bus.nats import NatsBus
from libs.bus.port import Start
from libs.events import Event, Fact, HostId, MapAssign, MapEnter, MapMoved, MapName, Stream
from libs.hosting.effects import Append, Committed, Outcome
from libs.hosting.world import World
from libs.runtime.clock import Clock
from services.ops.demo.players import Players

STEP_S = 0.02
IN_FLIGHT_MAX = 2_000
"""Beyond this the demo waits for NATS before more players move."""
MoveOutcome = Literal["moved", "vps"]
TRACED = 50
"""Every so many enters carry a sampled trace context."""
LATENCIES_MAX = 20_000


class SimulatedBridge:
    def __init__(self, bus: NatsBus, players: Players, clock: Clock, rng: random.Random, start_timeout_s: float) -> None:
        self.world = World()
        self.said: Counter[str] = Counter()
        self.lost_writes = 0
        self.reasons: Counter[str] = Counter()
        self.latencies_ms: list[float] = []
        self._bus, self._players, self._clock, self._rng = bus, players, clock, rng
        self._start_timeout_ms = start_timeout_s * 1000
        self._in_flight = 0
        self._first_enter_ms: dict[MapName, float] = {}
        self._moving: dict[MapName, tuple[HostId | None, MapAssign, int]] = {}

    async def follow(self) -> None:
        following = await self._bus.follow(
            (Stream.HOSTS, Stream.MAPS, Stream.ASSIGNMENTS), self._on_fact, Start.LAST_PER_SUBJECT
        )
        await following.caught_up(30.0)

    async def play(self, playing: asyncio.Event) -> None:
        """Players move until `playing` is cleared; then what is on its way settles."""
        while playing.is_set():
            if self._in_flight < IN_FLIGHT_MAX:
                for event in self._players.advance(self._clock.now_ms()):
                    self._say(event)
            self._settle_moves()
            await asyncio.sleep(STEP_S)

    async def finish_moves(self, until: Callable[[], bool]) -> None:
        """Moves go on coming about until `until` says it is over."""
        while not until():
            self._settle_moves()
            await asyncio.sleep(STEP_S)

    @property
    def latency_ms(self) -> float | None:
        """Median time from the first enter of a map to its committed assignment, as seen here."""
        return median(self.latencies_ms) if self.latencies_ms else None

    def players_on_hosts(self) -> tuple[int, int]:
        """Players on maps that hosts serve, and all of them."""
        population = self._players.population()
        everyone = hosted = 0
        for name, regions in population.items():
            count = sum(regions.values())
            everyone += count
            assign = self.world.map(name).assign
            hosted += count if assign is not None and assign.host is not None else 0
        return hosted, everyone

    def _say(self, event: Event) -> None:
        trace = None
        self.said[event.declaration.name] += 1
        if isinstance(event, MapEnter):
            if self.world.map(event.map).assign is None:
                self._first_enter_ms.setdefault(event.map, asyncio.get_running_loop().time() * 1000)
            if self.said["map.enter"] % TRACED == 0:
                trace = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
        self._in_flight += 1
        self._bus.submit(Append(event, None, trace=trace), self._on_settled)

    def _on_settled(self, _: Append, outcome: Outcome) -> None:
        self._in_flight -= 1
        self.lost_writes += not isinstance(outcome, Committed)

    def _on_fact(self, fact: Fact) -> None:
        event = fact.event
        if isinstance(event, MapAssign):
            self.reasons[event.reason] += 1
            if (entered_ms := self._first_enter_ms.pop(event.map, None)) is not None and len(self.latencies_ms) < LATENCIES_MAX:
                self.latencies_ms.append(asyncio.get_running_loop().time() * 1000 - entered_ms)
            if event.tenure is None:
                before = self.world.map(event.map).assign
                self._moving[event.map] = (before.host if before else None, event, self._clock.now_ms())
        self.world.apply(fact)

    def _settle_moves(self) -> None:
        now_ms = self._clock.now_ms()
        for name, (before, assign, since_ms) in list(self._moving.items()):
            if assign.host is None or self._is_ready(assign.host, name):
                self._moved(name, before, assign, "moved", now_ms - since_ms)
            elif now_ms - since_ms > self._start_timeout_ms:
                self._moved(name, before, assign, "vps", now_ms - since_ms)

    def _moved(
        self, name: MapName, before: HostId | None, assign: MapAssign, outcome: Literal["moved", "vps"], ms: int
    ) -> None:
        del self._moving[name]
        if before == assign.host:
            return
        state = self.world.map(name)
        if state.assign is not assign:
            return
        kind: Literal["death", "orderly"] = "death" if assign.reason == "failover" else "orderly"
        players = sum(self._players.population().get(name, {}).values())
        self._say(
            MapMoved(
                map=name,
                at_ms=self._clock.now_ms(),
                tenure=state.tenure,
                from_=before,
                to=assign.host if outcome == "moved" else None,
                kind=kind,
                outcome=outcome,
                players=players,
                ms=float(ms),
            )
        )

    def _is_ready(self, host_id: HostId, name: MapName) -> bool:
        host = self.world.host(host_id)
        return host.is_up and host.up is not None and name in host.up.ready_maps
