"""host.down -> map.assign. Called by the shell at every look, and by replay.

Writes every map whose last assignment is p2p and no longer holds – its host is down, excluded, draining, failed the map, or the
move did not come about: to the first usable backup, else to the VPS (DESIGN D3).
"""

from collections import Counter
from collections.abc import Iterator
from itertools import islice

from libs.events import Cause, Fact, HostId, MapAssign, MapMoved, MapName, Stream
from libs.hosting.eligibility import Broken, Gate, MapList, broken, map_gate, standing_gate
from libs.hosting.fleet import Fleet
from libs.hosting.looks import DECISIONS_MAX, Look, Reason
from libs.hosting.ranking import Ranking
from libs.hosting.room import Room
from libs.hosting.rules import Rules
from libs.hosting.world import Host, MapState, World

FAILED = frozenset({Broken.HOST_DOWN, Broken.BLACKLISTED, Broken.FAILED_MAP, Broken.MOVE_FAILED})
"""The tenure failed: its host waits cool_down_s before it gets this map again."""


class Failover:
    """A `Decider` (libs/hosting/looks.py). `_suspects`: maps whose assignment is broken if every exclusion ever said is still
    in force; which of them are broken now is for the look. `_fleet`: only where the VPS may not step in."""

    def __init__(self, rules: Rules) -> None:
        self.world = World()
        self._rules = rules
        self._maps = MapList(rules.maps)
        self._fleet = None if rules.general.enable_vps_fallback else Fleet(self.world, rules)
        self._room = Room(self.world)
        self._suspects: set[MapName] = set()
        self._used: dict[HostId, int] = {}
        self._ready_maps: dict[HostId, frozenset[MapName]] = {}

    def on_fact(self, fact: Fact) -> None:
        event = fact.event
        if isinstance(event, MapAssign):
            before = self.world.map(event.map).assign
            self.world.apply(fact)
            self._suspect(event.map)
            after = self.world.map(event.map).assign
            self._room.mark_use(before, after)
            if self._fleet is not None:
                self._fleet.mark_use(before, after)
            return
        self.world.apply(fact)
        if self._room.limits and fact.stream is Stream.MAPS and (name := getattr(event, "map", None)) is not None:
            self._room.mark_use(None, self.world.map(name).assign)
        if isinstance(event, MapMoved):
            self._suspect(event.map)
        elif fact.stream is Stream.HOSTS and (host := getattr(event, "host", None)) is not None:
            self._ready_maps.pop(host, None)
            for name in self.world.serving.get(host, ()):
                self._suspect(name)
            self._room.mark(host)
            if self._fleet is not None:
                self._fleet.mark(host)

    def decide(self, look: Look) -> Iterator[MapAssign]:
        """Every map whose server is lost, given to the first usable backup, or to the VPS. No assignment breaks by time alone,
        so a tick look has nothing to do; but a map that waits for a host may get one when an exclusion ends."""
        if look.tick and self._fleet is None:
            return
        if self._suspects:
            self._room.begin()
        if self._fleet is not None:
            self._fleet.begin(look.at_ms)
        try:
            yield from islice(self._lost(look), DECISIONS_MAX)
        finally:
            self._used.clear()
            self._room.end()
            if self._fleet is not None:
                self._fleet.end()

    def _lost(self, look: Look) -> Iterator[MapAssign]:
        for name in sorted(self._suspects):
            state = self.world.map(name)
            why = broken(self.world, state, self._allows(name), look.at_ms)
            if why is not None and (decision := self._move(state, why, look)) is not None:
                yield decision

    def _suspect(self, name: MapName) -> None:
        is_broken = broken(self.world, self.world.map(name), self._allows(name), at_ms=0) is not None
        (self._suspects.add if is_broken else self._suspects.discard)(name)

    def _allows(self, name: MapName) -> bool:
        return self._rules.general.enable_p2p_maps and self._maps.allows(name)

    def _move(self, state: MapState, why: Broken, look: Look) -> MapAssign | None:
        """None: nobody may take it and the VPS may not (enable_vps_fallback 0); it waits for a host."""
        assign, warm = state.assign, self._rules.failover.warm_backups
        assert assign is not None
        assert assign.host is not None
        reason: Reason = "drain" if why is Broken.DRAINING else "failover"
        cooling = self._cooling(assign.host, why, look)
        cause = self._cause(state, why, look)
        refused: Counter[str] = Counter({str(why): 1})
        if why is not Broken.MAP_NOT_ELIGIBLE and self._rules.general.enable_auto_migration:
            held = set(assign.backups[:warm])
            usable = [backup for backup in assign.backups if self._usable(backup, state, look, refused)]
            for heir in usable:
                if not self._ready(heir, state, held, refused):
                    continue
                self._room.give(heir, state)
                backups = self._backups([backup for backup in usable if backup != heir], held, warm)
                return look.assign(state, heir, backups, reason, cause, refused=dict(refused), cooling=cooling)
        if self._fleet is None or why is Broken.MAP_NOT_ELIGIBLE:
            return look.assign(state, None, (), reason, cause, refused=dict(refused), cooling=cooling)
        return self._any_host(self._fleet, state, reason, cause, cooling, look)

    def _cooling(self, host_id: HostId, why: Broken, look: Look) -> dict[HostId, int]:
        """Until when the host that failed does not get this map; a goodbye is no failure."""
        down = self.world.host(host_id).down
        if why not in FAILED or (why is Broken.HOST_DOWN and down is not None and down.reason in ("left", "drained")):
            return {}
        return {host_id: look.at_ms + int(self._rules.rebalance.cool_down_s * 1000)}

    def _usable(self, host_id: HostId, state: MapState, look: Look, refused: Counter[str]) -> bool:
        """May it serve this map at all; counts the gate that says no."""
        host = self.world.host(host_id)
        gate: str | None = "down"
        if host.is_up:
            cooling = state.assign.cooling if state.assign else {}
            gate = standing_gate(host, self._rules, look.at_ms) or map_gate(host, state.name, cooling, look.at_ms)
            if gate is None and not self._room.fits(host_id, state):
                gate = Gate.CROWDED
        if gate is not None:
            refused[str(gate)] += 1
        return gate is None

    def _ready(self, host_id: HostId, state: MapState, held: set[HostId], refused: Counter[str]) -> bool:
        """Its map-server is started (ready_maps), and it holds a slot for it or has one free."""
        host = self.world.host(host_id)
        if (ready := self._ready_maps.get(host_id)) is None:
            ready = self._ready_maps[host_id] = frozenset(host.up.ready_maps if host.up else ())
        if state.name not in ready:
            refused["not_ready"] += 1
            return False
        if host_id not in held and not self._take(host):
            refused["full"] += 1
            return False
        return True

    def _backups(self, usable: list[HostId], held: set[HostId], warm: int) -> list[HostId]:
        """What is left of the backups, in order; one that turns warm needs a slot."""
        backups: list[HostId] = []
        for backup in usable:
            if len(backups) >= warm or backup in held or self._take(self.world.host(backup)):
                backups.append(backup)
        return backups

    def _take(self, host: Host) -> bool:
        """A free slot of the host, for the rest of this look."""
        used = self._used_slots(host.id)
        if host.up is None or used >= host.up.slots:
            return False
        self._draft(host.id)
        return True

    def _used_slots(self, host_id: HostId) -> int:
        if (used := self._used.get(host_id)) is None:
            used = self._used[host_id] = self.world.used_slots(host_id, self._rules.failover.warm_backups)
        return used

    def _draft(self, host_id: HostId) -> None:
        self._used[host_id] = self._used_slots(host_id) + 1
        if self._fleet is not None:
            self._fleet.take(host_id)

    def _any_host(
        self, fleet: Fleet, state: MapState, reason: Reason, cause: Cause, cooling: dict[HostId, int], look: Look
    ) -> MapAssign | None:
        """Without the VPS: the best open host, though cold."""
        choice = Ranking(fleet).choose(
            state.name,
            state.players,
            0,
            cooling=(state.assign.cooling if state.assign else {}) | cooling,
            crowded=self._room.without(state),
        )
        if choice is None:
            return None
        self._draft(choice.hosts[0])
        self._room.give(choice.hosts[0], state)
        return look.assign(
            state, choice.hosts[0], (), reason, cause, score=choice.score, candidates=choice.candidates, cooling=cooling
        )

    def _cause(self, state: MapState, why: Broken, look: Look) -> Cause:
        assert state.assign is not None
        host = self.world.host(state.assign.host or HostId(""))
        if why is Broken.HOST_DOWN:
            return look.cause("HOSTS", host.down_seq)
        if why is Broken.BLACKLISTED:
            return look.cause("HOSTS", max(host.verdict_seq, host.ban_seq))
        if why is Broken.FAILED_MAP:
            return look.cause("HOSTS", host.up_seq)
        if why is Broken.DRAINING:
            return look.cause("HOSTS", max(host.drain_seq, host.up_seq))
        if why is Broken.MOVE_FAILED:
            return look.cause("MAPS", state.moved_seq)
        return look.cause("ASSIGNMENTS", state.assign_seq)
