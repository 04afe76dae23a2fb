"""The bridge as far as the log knows it: players enter and leave, maps have a census, moves end somehow.

One process with one link. It writes of one map one message at a time, in order: they are not compare-and-set, and a retry that
arrived after a later word would be the last word. Its own state is on disk in earnest, so it does not forget here.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from libs.events import (
    Event,
    Fact,
    HostId,
    HostLost,
    MapAssign,
    MapCensus,
    MapEnter,
    MapLeave,
    MapMoved,
    MapName,
    Region,
    Reply,
    Stream,
)
from libs.hosting.effects import Append, Outcome
from tests.sim.clock import MS, SECOND, START_MS
from tests.sim.machines import SimHost
from tests.sim.network import Link
from tests.sim.parts import Parts

POLL_US = 50 * MS
CENSUS_US = SECOND
"""At most one census a second a map."""


@dataclass(slots=True)
class Place:
    """One map. serving: None for the VPS. tenure: of the assignment that is in force here. queue: words not yet settled."""

    name: MapName
    players: dict[int, Region] = field(default_factory=dict)
    serving: HostId | None = None
    tenure: int = 0
    wanted: HostId | None = None
    census_us: int = -CENSUS_US
    census_planned: bool = False
    queue: deque[Event] = field(default_factory=deque)
    writing: bool = False


class Bridge:
    """fails: share of moves that do not come about."""

    def __init__(self, parts: Parts, hosts: dict[HostId, SimHost], names: list[MapName], fails: float) -> None:
        self.parts, self._hosts, self.fails = parts, hosts, fails
        self.name = "bridge-1"
        self.places = {name: Place(name) for name in names}
        self.where: dict[int, MapName] = {}
        self._seq = 0
        self._publisher = parts.publisher(self)
        self.link = Link(parts.network, partial(parts.server.forget, self), self._reconnected)
        self._listen()

    @property
    def now_ms(self) -> int:
        return START_MS + self.parts.clock.now_us // MS

    def enter(self, account: int, name: MapName, region: Region) -> None:
        """A player comes onto a map, from wherever he was."""
        before = self.where.get(account)
        if before == name:
            return
        self.leave(account, name)
        self.where[account] = name
        place = self.places[name]
        place.players[account] = region
        self._say(
            place,
            MapEnter(
                map=name, account_id=account, char_id=account, at_ms=self.now_ms, region=region, from_map=before, x=1, y=1
            ),
        )
        self._plan_census(place)

    def leave(self, account: int, to: MapName | None = None) -> None:
        if (before := self.where.pop(account, None)) is None:
            return
        place = self.places[before]
        del place.players[account]
        self._say(place, MapLeave(map=before, account_id=account, char_id=account, at_ms=self.now_ms, to_map=to))
        self._plan_census(place)

    def link_lost(self, host: HostId) -> None:
        """A hint; lost like any core message."""
        self.link.send("up", self.parts.server.publish, HostLost(host=host, at_ms=self.now_ms, link="sim"))

    @property
    def idle(self) -> bool:
        return not any(place.queue for place in self.places.values())

    # As a client of the server.

    def handle(self, act: Callable[..., None], *args: Any) -> None:
        act(*args)

    def later(self, delay_us: int, act: Callable[..., None], *args: Any) -> None:
        self.parts.clock.after(delay_us, act, *args)

    def receive(self, event: Event) -> None:
        """It listens to no core message."""

    def receive_request(self, request: Event, reply: Callable[[Reply | None], None]) -> None:
        """Nobody asks it here."""

    def receive_fact(self, fact: Fact) -> None:
        if fact.seq <= self._seq:
            return
        self._seq = fact.seq
        assign = fact.event
        if isinstance(assign, MapAssign) and assign.tenure is None:
            place = self.places[assign.map]
            place.tenure, place.wanted = fact.seq, assign.host
            self._move(place, fact.seq)

    def _listen(self) -> None:
        self.link.send("up", self.parts.server.follow, self, Stream.ASSIGNMENTS, self._seq, lambda seq: None)

    def _reconnected(self) -> None:
        self._listen()
        self._publisher.reconnected()

    # Moves.

    def _move(self, place: Place, tenure: int) -> None:
        """Until the server that was asked for is ready, or another was asked for."""
        if place.tenure != tenure or place.wanted == place.serving:
            return
        wanted = place.wanted
        if wanted is not None and not self._hosts[wanted].is_ready(place.name):
            self.later(POLL_US, self._move, place, tenure)
            return
        old_alive = place.serving is None or self._hosts[place.serving].running
        outcome = "moved"
        if wanted is not None and self.parts.rng.random() < self.fails:
            outcome = "rolled_back" if old_alive and self.parts.rng.random() < 0.5 else "vps"
        to = {"moved": wanted, "rolled_back": place.serving, "vps": None}[outcome]
        moved = MapMoved(
            map=place.name,
            at_ms=self.now_ms,
            tenure=tenure,
            from_=place.serving,
            to=wanted,
            kind="orderly" if old_alive else "death",
            outcome=outcome,
            players=len(place.players),
            ms=self.parts.rng.randint(5, 900),
        )
        place.serving = to
        self._say(place, moved)

    # Words about maps, one at a time.

    def _plan_census(self, place: Place) -> None:
        if not place.census_planned:
            place.census_planned = True
            wait_us = max(MS, place.census_us + CENSUS_US - self.parts.clock.now_us)
            self.later(wait_us, self._census, place)

    def _census(self, place: Place) -> None:
        place.census_planned = False
        place.census_us = self.parts.clock.now_us
        regions = sorted(place.players.values())
        counts = {region: regions.count(region) for region in regions}
        self._say(place, MapCensus(map=place.name, at_ms=self.now_ms, players=counts))

    def _say(self, place: Place, event: Event) -> None:
        place.queue.append(event)
        if not place.writing:
            self._write(place)

    def _write(self, place: Place) -> None:
        if place.queue:
            place.writing = True
            self._publisher.submit(Append(place.queue[0], None), partial(self._settled, place))

    def _settled(self, place: Place, _: Append, outcome: Outcome) -> None:
        place.writing = False
        place.queue.popleft()
        self._write(place)
