"""map.enter -> map.assign. Called by the shell at every look, and by replay.

Writes every map whose last assignment holds or is missing: none yet, promote, rebalance, refill, idle, and what a host holds
above its slots or its players' limit. Failover writes the rest (DESIGN D3).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Literal

from libs.events import Fact, HostId, MapAssign, MapName, Stream
from libs.hosting.eligibility import Gate, MapList, broken, map_gate, standing_gate
from libs.hosting.fleet import Fleet
from libs.hosting.looks import DECISIONS_MAX, Look
from libs.hosting.ranking import Choice, Ranking
from libs.hosting.room import Room, too_many
from libs.hosting.rules import Rules
from libs.hosting.world import MapState, World
from services.scorer.index import Index

PlaceReason = Literal["enter", "promote", "rebalance"]
VpsReason = Literal["enter", "idle", "rebalance"]


class Scorer:
    """A `Decider` (libs/hosting/looks.py)."""

    def __init__(self, rules: Rules) -> None:
        self.world = World()
        self._rules = rules
        self._maps = MapList(rules.maps)
        self._fleet = Fleet(self.world, rules)
        self._ranking = Ranking(self._fleet)
        self._room = Room(self.world)
        self._index = Index(self._allows)

    def on_fact(self, fact: Fact) -> None:
        world, event = self.world, fact.event
        if fact.stream is Stream.HOSTS:
            world.apply(fact)
            if (host := getattr(event, "host", None)) is not None:
                self._fleet.mark(host)
                self._room.mark(host)
        elif isinstance(event, MapAssign):
            before = world.map(event.map).assign
            world.apply(fact)
            state = world.map(event.map)
            self._fleet.mark_use(before, state.assign)
            self._room.mark_use(before, state.assign)
            self._index.note(state)
        else:
            world.apply(fact)
            if (name := getattr(event, "map", None)) is not None:
                state = world.map(name)
                if self._room.limits:
                    self._room.mark_use(None, state.assign)
                self._index.note(state)

    def decide(self, look: Look) -> Iterator[MapAssign]:
        """Every map that needs a host and has none, given one, or given to the VPS; in a tick look, what time made due."""
        self._room.begin()
        if not look.tick and not self._index.unassigned and not self._room.over:
            return
        self._fleet.begin(look.at_ms)
        try:
            yield from islice(self._due(look) if look.tick else self._asked(look, set()), DECISIONS_MAX)
        finally:
            self._fleet.end()
            self._room.end()

    def _asked(self, look: Look, done: set[MapName]) -> Iterator[MapAssign]:
        yield from self._wanted(look, done)
        yield from self._crowded(look, done)

    def _wanted(self, look: Look, done: set[MapName]) -> Iterator[MapAssign]:
        states = (self.world.map(name) for name in self._index.unassigned - done)
        for state in sorted(states, key=lambda state: (state.demand_seq, state.name)):
            if (choice := self._choose(state)) is not None:
                yield self._give(state, look, choice, "enter")
            elif self._vps_may_serve(state.name):
                yield self._to_vps(state, look, "enter")

    def _due(self, look: Look) -> Iterator[MapAssign]:
        done: set[MapName] = set()
        for decisions in (self._waiting, self._take_back, self._idle, self._promote, self._refill, self._rebalance):
            for decision in decisions(look, done):
                done.add(decision.map)
                yield decision

    def _waiting(self, look: Look, done: set[MapName]) -> Iterator[MapAssign]:
        """Where the VPS may not step in, a map waits for a host; time alone may bring one back."""
        return iter(()) if self._rules.general.enable_vps_fallback else self._asked(look, done)

    def _allows(self, name: MapName) -> bool:
        return self._rules.general.enable_p2p_maps and self._maps.allows(name)

    def _vps_may_serve(self, name: MapName) -> bool:
        return self._rules.general.enable_vps_fallback or not self._allows(name)

    def _choose(self, state: MapState, without: Collection[HostId] = ()) -> Choice | None:
        """The best open host for the map with its backups, or None; takes no slot yet."""
        if not self._allows(state.name):
            return None
        held = self._held_warm(state)
        for backup in held:
            self._fleet.take(backup, -1)
        choice = self._ranking.choose(
            state.name,
            state.players,
            self._rules.failover.backup_hosts_count,
            cooling=_cooling(state),
            without=without,
            crowded=self._room.without(state),
        )
        for backup in held:
            self._fleet.take(backup)
        return choice

    def _held_warm(self, state: MapState) -> list[HostId]:
        """Backups that hold a slot for this map: it may use it otherwise."""
        return state.assign.backups[: self._rules.failover.warm_backups] if state.assign else []

    def _give(self, state: MapState, look: Look, choice: Choice, reason: PlaceReason) -> MapAssign:
        refused = self._refused(state)
        held = self._held_warm(state)
        for host in choice.hosts[: 1 + self._rules.failover.warm_backups]:
            if host not in held:
                self._fleet.take(host)
        self._room.give(choice.hosts[0], state)
        return look.assign(
            state,
            choice.hosts[0],
            choice.hosts[1:],
            reason,
            look.cause("MAPS", state.demand_seq),
            score=choice.score,
            candidates=choice.candidates,
            refused=refused,
        )

    def _to_vps(self, state: MapState, look: Look, reason: VpsReason) -> MapAssign:
        refused = self._refused(state) if self._allows(state.name) else {"map_not_eligible": 1}
        return look.assign(state, None, (), reason, look.cause("MAPS", state.demand_seq), refused=refused)

    def _refused(self, state: MapState) -> dict[str, int]:
        refused = self._fleet.refused(state.name, _cooling(state))
        if crowded := self._room.without(state):
            refused[Gate.CROWDED.value] = len(crowded)
        return refused

    def _crowded(self, look: Look, done: set[MapName]) -> Iterator[MapAssign]:
        """What a host has beyond its `players_max` goes elsewhere at once, before somebody is refused there (docs/adr/0027)."""
        for host in self._room.over:
            served = map(self.world.map, self.world.serving.get(host, ()))
            going = {state.name for state in served if state.name in done or self._broken(state, look)}
            for state in too_many(self.world, host, going):
                yield from self._elsewhere(state, host, look)

    def _elsewhere(self, state: MapState, host: HostId, look: Look) -> Iterator[MapAssign]:
        """Away from a host that has too much."""
        if (choice := self._choose(state, without=[host])) is not None:
            yield self._give(state, look, choice, "rebalance")
        elif self._vps_may_serve(state.name):
            yield self._to_vps(state, look, "rebalance")

    def _take_back(self, look: Look, done: set[MapName]) -> Iterator[MapAssign]:
        """What a host holds above its slots: the latest assignments go elsewhere (DESIGN D14)."""
        for host in self._fleet.overfull():
            up = self.world.host(host).up
            slots = up.slots if up else 0
            held = self.world.serving.get(host, set()) | set(self.world.backing.get(host, ()))
            states = [self.world.map(name) for name in held if self._takes_slot(name, host)]
            states.sort(key=lambda state: -state.assign_seq)
            for state in states[: max(0, len(states) - slots)]:
                if state.name in done or self._broken(state, look) or state.assign is None:
                    continue
                if state.assign.host == host:
                    yield from self._elsewhere(state, host, look)
                else:
                    keep = [backup for backup in state.assign.backups if backup != host]
                    yield self._with_backups(state, look, keep, without=[host])

    def _takes_slot(self, name: MapName, host: HostId) -> bool:
        return name in self.world.serving.get(host, ()) or (
            self.world.backing.get(host, {}).get(name, DECISIONS_MAX) < self._rules.failover.warm_backups
        )

    def _idle(self, look: Look, done: set[MapName]) -> Iterator[MapAssign]:
        """A hosted map nobody has been on for long goes back to the VPS and frees its slots."""
        idle_ms = self._rules.rebalance.idle_after_s * 1000
        for state in self._slice(look, done):
            if state.has_players or state.assign is None:
                continue
            seen_ms = max(
                state.assign.since_ms,
                state.census.at_ms if state.census else 0,
                state.enter.at_ms if state.enter else 0,
            )
            if look.at_ms - seen_ms >= idle_ms:
                yield self._to_vps(state, look, "idle")

    def _promote(self, look: Look, done: set[MapName]) -> Iterator[MapAssign]:
        """Maps with players return from the VPS when hosts appear; the fullest first."""
        states = [self.world.map(name) for name in self._index.on_vps - done]
        states = [state for state in states if state.has_players and self._may_return(state)]
        for state in sorted(states, key=lambda state: (-state.player_count, state.name)):
            if not self._fleet.any_open:
                return
            if (choice := self._choose(state)) is not None:
                yield self._give(state, look, choice, "promote")

    def _may_return(self, state: MapState) -> bool:
        lost = state.assign is not None and state.assign.reason in ("failover", "drain")
        return self._allows(state.name) and (self._rules.general.enable_auto_migration or not lost)

    def _refill(self, look: Look, done: set[MapName]) -> Iterator[MapAssign]:
        """Backups kept filled, at most once in refill_interval_s a map (DESIGN D9)."""
        for state in self._slice(look, done):
            assign = state.assign
            if assign is None or look.at_ms - assign.at_ms < self._rules.failover.refill_interval_s * 1000:
                continue
            wanted = self._rules.failover.backup_hosts_count
            keep = [backup for backup in assign.backups if self._may_back(backup, state, look)][:wanted]
            if len(keep) == wanted == len(assign.backups):
                continue
            decision = self._with_backups(state, look, keep)
            if decision.backups != assign.backups:
                yield decision

    def _rebalance(self, look: Look, done: set[MapName]) -> Iterator[MapAssign]:
        """A clearly better host takes over: gain, dwell, cool-down and the global rate all allow it (DESIGN D9)."""
        rules = self._rules.rebalance
        recent = self._index.rebalanced(look.at_ms)
        for state in self._slice(look, done):
            if recent >= rules.max_moves_per_minute:
                return
            assign = state.assign
            if assign is None or assign.host is None or not state.has_players:
                continue
            settled = look.at_ms - assign.since_ms >= rules.min_dwell_s * 1000
            if not settled or look.at_ms - assign.at_ms < rules.cool_down_s * 1000:
                continue
            choice = self._choose(state, without=[assign.host])
            now = self._fleet.score_of(assign.host, state.players)
            if choice is not None and now is not None and choice.score > now * rules.threshold:
                recent += 1
                yield self._give(state, look, choice, "rebalance")

    def _slice(self, look: Look, done: set[MapName]) -> Iterator[MapState]:
        for name in sorted(self._index.turn(look.at_ms) - done):
            state = self.world.map(name)
            if not self._broken(state, look):
                yield state

    def _with_backups(self, state: MapState, look: Look, keep: list[HostId], without: Iterable[HostId] = ()) -> MapAssign:
        """The same tenure with `keep` and the next best as backups; a backup that turns warm needs a free slot."""
        assign, fleet, warm = state.assign, self._fleet, self._rules.failover.warm_backups
        assert assign is not None
        assert assign.host is not None
        backups: list[HostId] = []
        was_warm = set(assign.backups[:warm])
        for backup in keep:
            if len(backups) < warm and backup not in was_warm:
                if not fleet.has_free_slot(backup):
                    continue
                fleet.take(backup)
            backups.append(backup)
        missing = self._rules.failover.backup_hosts_count - len(backups)
        more = self._ranking.more_backups(
            state.name,
            state.players,
            assign.host,
            missing,
            cooling=_cooling(state),
            without=[assign.host, *assign.backups, *without, *self._room.without(state)],
        )
        for host in more:
            if len(backups) < warm:
                fleet.take(host)
            backups.append(host)
        cause = look.cause("ASSIGNMENTS", state.assign_seq)
        return look.assign(state, assign.host, backups, "refill", cause, keep_tenure=True, score=assign.score)

    def _may_back(self, host_id: HostId, state: MapState, look: Look) -> bool:
        host = self.world.host(host_id)
        return (
            host.is_up
            and standing_gate(host, self._rules, look.at_ms) is None
            and map_gate(host, state.name, _cooling(state), look.at_ms) is None
            and self._room.fits(host_id, state)
        )

    def _broken(self, state: MapState, look: Look) -> bool:
        return broken(self.world, state, self._allows(state.name), look.at_ms) is not None


def _cooling(state: MapState) -> Mapping[HostId, int]:
    return state.assign.cooling if state.assign else {}
