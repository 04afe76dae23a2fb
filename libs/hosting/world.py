"""The folded picture: hosts, maps, who serves what. In: facts of three streams. Out: a `World` that deciders read.

Each stream touches its own part, so how the streams interleave does not matter; and the last message of each subject suffices,
because every event is absolute (DESIGN D2, D11). Both are held by property tests in tests/unit/test_world.py.
"""

from dataclasses import dataclass, field

from libs.events import (
    Basis,
    Fact,
    HostDown,
    HostId,
    HostUp,
    HostVerdict,
    MapAssign,
    MapCensus,
    MapEnter,
    MapMoved,
    MapName,
    OpsBan,
    OpsDrain,
    OpsEnroll,
    Region,
    Stream,
)


@dataclass(slots=True)
class Host:
    """What became of one host. A `_seq` of 0: never said. Sequences are of the HOSTS stream."""

    id: HostId
    up: HostUp | None = None
    up_seq: int = 0
    down: HostDown | None = None
    down_seq: int = 0
    verdict: HostVerdict | None = None
    verdict_seq: int = 0
    drain: OpsDrain | None = None
    drain_seq: int = 0
    ban: OpsBan | None = None
    ban_seq: int = 0
    enrolled: OpsEnroll | None = None
    enrolled_seq: int = 0

    @property
    def is_up(self) -> bool:
        return self.up_seq > self.down_seq

    @property
    def draining(self) -> bool:
        return (self.up is not None and self.up.draining) or (self.drain is not None and self.drain.draining)

    @property
    def fact_seq(self) -> int:
        """Last sequence of `host.*.<host>`: what host.up, host.down and host.verdict are compared with on writing."""
        return max(self.up_seq, self.down_seq, self.verdict_seq)

    @property
    def excluded_until_ms(self) -> int:
        """End of the longer of blacklisting and ban, Unix ms; 0 for none; FOREVER_MS for a ban without end."""
        until = 0
        if self.verdict is not None and self.verdict.blacklisted_until_ms is not None:
            until = self.verdict.blacklisted_until_ms
        if self.ban is not None:
            until = max(until, FOREVER_MS if self.ban.until_ms is None else self.ban.until_ms)
        return until

    def excluded(self, at_ms: int) -> bool:
        return at_ms < self.excluded_until_ms

    @property
    def disconnects_ms(self) -> list[int]:
        """As the registry last said, Unix ms, newest last."""
        if self.is_up:
            return self.up.disconnects_ms if self.up else []
        return self.down.disconnects_ms if self.down else []


FOREVER_MS = 2**53


@dataclass(slots=True)
class MapState:
    """What is known of one map. Sequences: enter, census, moved of MAPS; assign of ASSIGNMENTS."""

    name: MapName
    enter: MapEnter | None = None
    enter_seq: int = 0
    census: MapCensus | None = None
    census_seq: int = 0
    moved: MapMoved | None = None
    moved_seq: int = 0
    assign: MapAssign | None = None
    assign_seq: int = 0

    @property
    def has_pending_enter(self) -> bool:
        """An enter later than the census and than what the last assignment had read (DESIGN D11)."""
        return self.enter_seq > self.census_seq and (self.assign is None or self.enter_seq > self.assign.basis.maps)

    @property
    def players(self) -> dict[Region, int]:
        """Region -> players, a pending enter included."""
        players = dict(self.census.players) if self.census else {}
        if self.enter is not None and self.has_pending_enter:
            players[self.enter.region] = players.get(self.enter.region, 0) + 1
        return players

    @property
    def has_players(self) -> bool:
        return self.has_pending_enter or (self.census is not None and any(self.census.players.values()))

    @property
    def player_count(self) -> int:
        counted = sum(self.census.players.values()) if self.census is not None else 0
        return counted + self.has_pending_enter

    @property
    def demand_seq(self) -> int:
        """The MAPS message that makes this map want a server: the pending enter, else the census."""
        return self.enter_seq if self.has_pending_enter else self.census_seq

    @property
    def tenure(self) -> int:
        """The fencing token: sequence of the assignment that last changed who serves; 0 for none yet."""
        if self.assign is None:
            return 0
        return self.assign_seq if self.assign.tenure is None else self.assign.tenure

    @property
    def move_failed(self) -> bool:
        """The last map.moved of this tenure says it did not come about."""
        return self.moved is not None and self.moved.tenure == self.tenure and self.moved.outcome != "moved"


@dataclass(slots=True)
class World:
    """All of it, and where in the streams it stands. serving and backing index the assignments, failing the
    failed_maps of hosts."""

    hosts: dict[HostId, Host] = field(default_factory=dict)
    maps: dict[MapName, MapState] = field(default_factory=dict)
    hosts_seq: int = 0
    maps_seq: int = 0
    assignments_seq: int = 0
    serving: dict[HostId, set[MapName]] = field(default_factory=dict)
    backing: dict[HostId, dict[MapName, int]] = field(default_factory=dict)
    failing: dict[MapName, set[HostId]] = field(default_factory=dict)

    @property
    def basis(self) -> Basis:
        return Basis(self.hosts_seq, self.maps_seq, self.assignments_seq)

    def host(self, host: HostId) -> Host:
        """What became of it; a blank one, not kept, where nothing was said: reading changes nothing."""
        return self.hosts.get(host) or Host(host)

    def map(self, name: MapName) -> MapState:
        """What is known of it; a blank one, not kept, where nothing is."""
        return self.maps.get(name) or MapState(name)

    def used_slots(self, host: HostId, warm_backups: int) -> int:
        """Primaries plus warm backups it holds by the assignments (DESIGN D14)."""
        used = len(self.serving.get(host, ()))
        if backing := self.backing.get(host):
            used += sum(map(warm_backups.__gt__, backing.values()))
        return used

    def apply(self, fact: Fact) -> None:
        """Fold one message. Idempotent, and a no-op for a sequence already passed in its stream."""
        if fact.stream is Stream.MAPS:
            if fact.seq > self.maps_seq:
                self.maps_seq = fact.seq
                self._apply_map(fact)
        elif fact.stream is Stream.ASSIGNMENTS:
            if fact.seq > self.assignments_seq:
                self.assignments_seq = fact.seq
                if isinstance(fact.event, MapAssign):
                    self._apply_assign(fact.event, fact.seq)
        elif fact.stream is Stream.HOSTS and fact.seq > self.hosts_seq:
            self.hosts_seq = fact.seq
            self._apply_host(fact)

    def _kept_host(self, host: HostId) -> Host:
        if (found := self.hosts.get(host)) is None:
            found = self.hosts[host] = Host(host)
        return found

    def _kept_map(self, name: MapName) -> MapState:
        if (found := self.maps.get(name)) is None:
            found = self.maps[name] = MapState(name)
        return found

    def _apply_map(self, fact: Fact) -> None:
        event = fact.event
        if isinstance(event, MapEnter):
            state = self._kept_map(event.map)
            state.enter, state.enter_seq = event, fact.seq
        elif isinstance(event, MapCensus):
            state = self._kept_map(event.map)
            state.census, state.census_seq = event, fact.seq
        elif isinstance(event, MapMoved):
            state = self._kept_map(event.map)
            state.moved, state.moved_seq = event, fact.seq

    def _apply_host(self, fact: Fact) -> None:
        event = fact.event
        if isinstance(event, HostUp):
            host = self._kept_host(event.host)
            for name in host.up.failed_maps if host.up else ():
                self.failing[name].discard(host.id)
            for name in event.failed_maps:
                self.failing.setdefault(name, set()).add(host.id)
            host.up, host.up_seq = event, fact.seq
        elif isinstance(event, HostDown):
            host = self._kept_host(event.host)
            host.down, host.down_seq = event, fact.seq
        elif isinstance(event, HostVerdict):
            host = self._kept_host(event.host)
            host.verdict, host.verdict_seq = event, fact.seq
        elif isinstance(event, OpsDrain):
            host = self._kept_host(event.host)
            host.drain, host.drain_seq = event, fact.seq
        elif isinstance(event, OpsBan):
            host = self._kept_host(event.host)
            host.ban, host.ban_seq = event, fact.seq
        elif isinstance(event, OpsEnroll):
            host = self._kept_host(event.host)
            host.enrolled, host.enrolled_seq = event, fact.seq

    def _apply_assign(self, assign: MapAssign, seq: int) -> None:
        state = self._kept_map(assign.map)
        if (old := state.assign) is not None:
            if old.host is not None and old.host != assign.host:
                self.serving[old.host].discard(assign.map)
            for backup in old.backups:
                self.backing[backup].pop(assign.map, None)
        if assign.host is not None:
            self.serving.setdefault(assign.host, set()).add(assign.map)
        for rank in range(len(assign.backups) - 1, -1, -1):  # of a host named twice the better rank counts
            self.backing.setdefault(assign.backups[rank], {})[assign.map] = rank
        state.assign, state.assign_seq = assign, seq
