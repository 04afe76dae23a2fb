"""How a decider works: look, write, wait until all has settled, look again (DESIGN D4).

A look is everything that needs a decision at one basis. `decide` is a function of the world at that basis, the look's time and
the settings; its writes go out together, and the next look waits until each has settled and the decider's own follower has
passed them. Replay builds the same look from the log and must come to the same decisions.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from libs.events import (
    Basis,
    Candidate,
    Cause,
    Event,
    Fact,
    HostId,
    MapAssign,
    MapName,
    NodeName,
    Reply,
    Stream,
)
from libs.hosting.effects import Append, Ask, Committed, Effect, Outcome, Refused
from libs.hosting.world import MapState, World

DECISIONS_MAX = 2000
"""Of one look; bounds a burst of writes. More wait for the next look, in the same order."""
TICK_MS = 250
"""How often a decider looks for what time alone has made due."""
BEHIND_MS_MAX = 10_000
"""A follower trails by milliseconds; what it has not read after this long is not there."""
TRACES_MAX = 10_000
COOLING_MAX = 64
"""As many as a map.assign may carry. A map that fails everywhere forgets the cooling that ends first, and stays writable."""

Reason = Literal["enter", "promote", "failover", "drain", "rebalance", "refill", "idle", "operator"]


@dataclass(frozen=True, slots=True)
class Look:
    """One look. at_ms: the time given to `decide`, Unix ms. tick: look for what time made due, else for what events ask for."""

    id: str
    at_ms: int
    tick: bool
    basis: Basis
    decider: NodeName
    config: str

    def cause(self, stream: Literal["HOSTS", "MAPS", "ASSIGNMENTS"], seq: int) -> Cause:
        """The message that asks for a decision; in a tick look, the tick."""
        return Cause(tick_ms=self.at_ms) if self.tick else Cause(stream=stream, seq=seq)

    def assign(
        self,
        state: MapState,
        host: HostId | None,
        backups: Sequence[HostId],
        reason: Reason,
        cause: Cause,
        *,
        keep_tenure: bool = False,
        score: float | None = None,
        candidates: Sequence[Candidate] = (),
        refused: dict[str, int] | None = None,
        cooling: dict[HostId, int] | None = None,
    ) -> MapAssign:
        """The decision as it goes into the log. host: None for the VPS. cooling: added to what is still cooling."""
        before = state.assign
        return MapAssign(
            map=state.name,
            kind="vps" if host is None else "p2p",
            host=host,
            backups=list(backups),
            reason=reason,
            tenure=state.tenure if keep_tenure else None,
            since_ms=before.since_ms if keep_tenure and before else self.at_ms,
            cause=cause,
            basis=self.basis,
            decider=self.decider,
            look=self.id,
            config=self.config,
            score=score,
            candidates=list(candidates),
            refused=refused or {},
            at_ms=self.at_ms,
            cooling=self._cooling(before.cooling if before else {}, cooling or {}),
        )

    def _cooling(self, before: dict[HostId, int], more: dict[HostId, int]) -> dict[HostId, int]:
        if not before and not more:
            return {}
        kept = {host: until for host, until in before.items() if until > self.at_ms} | more
        while len(kept) > COOLING_MAX:
            del kept[min(kept, key=lambda host: (kept[host], host))]
        return kept


class Decider(Protocol):
    """The pure heart of scorer and failover; driven live by `DecidingCore` and again by replay."""

    world: World

    def on_fact(self, fact: Fact) -> None:
        """Fold a fact into the world and the indexes over it."""

    def decide(self, look: Look) -> Iterable[MapAssign]:
        """At most DECISIONS_MAX decisions, at most one a map; to be taken to the end before the next fact. Changes nothing that
        facts do not change."""


class DecidingCore:
    """A `Core` (libs/hosting/effects.py) around a `Decider`."""

    def __init__(self, decider: Decider, *, name: NodeName, config: str) -> None:
        self._decider, self._name, self._config = decider, name, config
        self._in_flight = 0
        self._floor = 0
        self._needs = Basis(0, 0, 0)
        self._behind_since_ms: int | None = None
        self._unread: dict[MapName, int] = {}
        self._looks = 0
        self._caught_up = False
        self._news = False
        self._next_tick_ms = 0
        self._traces: OrderedDict[tuple[Stream, int], str] = OrderedDict()

    @property
    def world(self) -> World:
        return self._decider.world

    def on_fact(self, fact: Fact, now_ms: int) -> None:  # noqa: ARG002 - the shape of every core
        if fact.stream is Stream.ASSIGNMENTS and fact.seq <= self.world.assignments_seq:
            return  # folded when it was acknowledged
        self._decider.on_fact(fact)
        self._news = True
        if isinstance(fact.event, MapAssign):
            needs, basis = self._needs, fact.event.basis
            if basis.hosts > needs.hosts or basis.maps > needs.maps:
                self._needs = Basis(max(needs.hosts, basis.hosts), max(needs.maps, basis.maps), 0)
        if fact.trace is not None and fact.stream is not Stream.ASSIGNMENTS:
            self._traces[fact.stream, fact.seq] = fact.trace
            if len(self._traces) > TRACES_MAX:
                self._traces.popitem(last=False)

    def on_caught_up(self, now_ms: int) -> None:
        self._caught_up = self._news = True
        self._next_tick_ms = now_ms + TICK_MS

    def on_heard(self, event: Event, now_ms: int) -> None:
        """Deciders read streams alone."""

    def on_lease(self, number: int, now_ms: int) -> None:
        """Deciders need no leader (DESIGN D2)."""

    def on_gap(self, now_ms: int) -> None:
        """Nothing is missed: the follower goes on where it was."""

    def on_reply(self, ask: Ask, reply: Reply | None, now_ms: int) -> None:
        """Deciders ask nobody."""

    def on_settled(self, write: Append, outcome: Outcome, now_ms: int) -> None:  # noqa: ARG002
        assert isinstance(write.event, MapAssign)
        self._in_flight -= 1
        self._news = True
        if isinstance(outcome, Committed):
            self._floor = max(self._floor, outcome.seq)
            self._unread.pop(write.event.map, None)
            if outcome.seq == self.world.assignments_seq + 1:  # nothing lies between: what the follower would bring next
                self._decider.on_fact(Fact(Stream.ASSIGNMENTS, outcome.seq, write.event))
        elif isinstance(outcome, Refused):
            self._floor = max(self._floor, outcome.last)
            self._unread[write.event.map] = outcome.last

    def step(self, now_ms: int) -> Iterator[Effect]:
        if not self._caught_up or self._in_flight or not self._has_read_enough(now_ms):
            return
        if now_ms >= self._next_tick_ms:
            self._next_tick_ms = now_ms + TICK_MS
            yield from self._look(now_ms, tick=True)
        if self._news and not self._in_flight:
            self._news = False
            yield from self._look(now_ms, tick=False)

    def _has_read_enough(self, now_ms: int) -> bool:
        """Its own writes, and all that the deciders of the assignments it knows had read: else it would judge an assignment
        by an older picture of the hosts than it was made with. Bounded: where HOSTS or MAPS was lost and began anew, what the
        others had read never comes."""
        world, needs = self.world, self._needs
        if world.assignments_seq < self._floor:
            return False
        if world.hosts_seq >= needs.hosts and world.maps_seq >= needs.maps:
            self._behind_since_ms = None
            return True
        if self._behind_since_ms is None:
            self._behind_since_ms = now_ms
        return now_ms - self._behind_since_ms >= BEHIND_MS_MAX

    def _look(self, now_ms: int, *, tick: bool) -> Iterator[Effect]:
        """Each decision as it is made: NATS writes the first while the last is still thought about."""
        look = Look(f"{self._name}.{self._looks}", now_ms, tick, self.world.basis, self._name, self._config)
        for decision in self._decider.decide(look):
            self._in_flight += 1
            yield Append(decision, self._last_of(decision.map), trace=self._trace_of(decision.cause))
        if self._in_flight:
            self._looks += 1

    def _last_of(self, name: MapName) -> int:
        """Last sequence of the map's subject. Above the assignment we know where the last message could not be read: it is
        written over, or the map would be refused for ever."""
        return max(self.world.map(name).assign_seq, self._unread.get(name, 0))

    def _trace_of(self, cause: Cause) -> str | None:
        if not self._traces or cause.stream is None or cause.seq is None:
            return None
        return self._traces.get((Stream(cause.stream), cause.seq))
