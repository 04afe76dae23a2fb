"""Hosts whose players said how many may be there at once (`players_max`), and how many that leaves (docs/adr/0027).

One place stays free, for who comes while his map is moved away: a player is said to enter when he is there. So a host keeps
its maps as long as one more player may come; and is given a map only if that takes at most GIVEN_PERCENT of those places: what
lies between keeps maps from going to and fro. `players_on` and `room_gate` are the definition; `Room` is the same for the
deciders, who ask for every map: it costs nothing while nobody has a limit.
"""

from bisect import bisect_left, insort
from collections.abc import Collection

from libs.events import HostId, MapAssign, MapName
from libs.hosting.eligibility import Gate
from libs.hosting.world import MapState, World

GIVEN_PERCENT = 80
NOBODY: Collection[HostId] = frozenset()


def players_on(world: World, host: HostId) -> int:
    """Of all maps it serves; who has just entered one included."""
    return sum(world.map(name).player_count for name in world.serving.get(host, ()))


def players_kept(players_max: int) -> int:
    """With so many a host keeps its maps."""
    return players_max - 1


def players_given(players_max: int) -> int:
    """So many there may be after it was given a map: one at least, if it can be kept."""
    kept = players_kept(players_max)
    return min(kept, max(1, kept * GIVEN_PERCENT // 100))


def room_gate(world: World, host_id: HostId, players: int, *, stands_by: bool = False) -> Gate | None:
    """Whether a host that is up may not have a map with so many players beside what it serves. stands_by: it is a backup of the
    map already, and may have as many as it would keep: that saves the map a second move."""
    up = world.host(host_id).up
    if up is None or up.players_max is None:
        return None
    most = players_kept(up.players_max) if stands_by else players_given(up.players_max)
    return Gate.CROWDED if players_on(world, host_id) + players > most else None


def too_many(world: World, host_id: HostId, going: Collection[MapName] = ()) -> list[MapState]:
    """Maps that have to leave a host so that it keeps the others: those with the fewest players that suffice. going: leave it
    anyway."""
    up = world.host(host_id).up
    if up is None or up.players_max is None:
        return []
    states = [world.map(name) for name in world.serving.get(host_id, ()) if name not in going]
    counts = sorted((state.player_count, state.name) for state in states)
    over = sum(count for count, _ in counts) - players_kept(up.players_max)
    leave: list[MapState] = []
    while over > 0:  # the smallest that is enough; else the largest, and once more
        at = min(bisect_left(counts, (over,)), len(counts) - 1)
        count, name = counts.pop(at)
        over -= count
        leave.append(world.map(name))
    return leave


class Room:
    """Reads `world`. Facts only mark hosts; `begin` counts the marked ones anew. What is given in a look is counted as a draft
    until `end`. limits: of hosts that are up and have one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.limits: dict[HostId, int] = {}
        self._free: dict[HostId, int] = {}
        self._order: list[tuple[int, HostId]] = []
        self._over: set[HostId] = set()
        self._new: set[HostId] = set()
        self._draft: dict[HostId, int] = {}

    def mark(self, host: HostId) -> None:
        """Something was said of this host."""
        self._new.add(host)

    def mark_use(self, before: MapAssign | None, after: MapAssign | None) -> None:
        """An assignment took another's place, or (twice the same) players of its map came or went."""
        if self.limits:
            for assign in (before, after):
                if assign is not None and assign.host is not None:
                    self._new.add(assign.host)

    def begin(self) -> None:
        """As of now."""
        if self._new:
            for host in self._new:
                self._renew(host)
            self._new.clear()

    def end(self) -> None:
        """Give back what the draft took."""
        for host, players in self._draft.items():
            self._place(host, self._free[host] + players)
        self._draft.clear()

    @property
    def over(self) -> list[HostId]:
        """Hosts with more players than they keep, by name."""
        return sorted(self._over) if self._over else []

    def without(self, state: MapState) -> Collection[HostId]:
        """Hosts that are up and may not be given this map; who serves it may keep it while it is not `over`."""
        order = self._order
        if not order or (players := state.player_count) <= order[0][0]:
            return NOBODY
        found = {host for _, host in order[: bisect_left(order, (players,))]}
        if state.assign is not None and (mine := state.assign.host) is not None and mine not in self._over:
            found.discard(mine)
        return found

    def fits(self, host: HostId, state: MapState) -> bool:
        """Whether a backup that stands by may have the map."""
        if (limit := self.limits.get(host)) is None:
            return True
        return state.player_count <= self._free[host] + players_kept(limit) - players_given(limit)

    def give(self, host: HostId, state: MapState) -> None:
        """Draft: the map's players are there until `end`."""
        if host in self._free:
            players = state.player_count
            self._draft[host] = self._draft.get(host, 0) + players
            self._place(host, self._free[host] - players)

    def _renew(self, host_id: HostId) -> None:
        host = self._world.host(host_id)
        limit = host.up.players_max if host.is_up and host.up is not None else None
        self._over.discard(host_id)
        if limit is None:
            if self.limits.pop(host_id, None) is not None:
                self._unplace(host_id)
            return
        self.limits[host_id] = limit
        here = players_on(self._world, host_id)
        if here > players_kept(limit):
            self._over.add(host_id)
        self._place(host_id, players_given(limit) - here)

    def _place(self, host: HostId, free: int) -> None:
        if self._free.get(host) != free:
            self._unplace(host)
            self._free[host] = free
            insort(self._order, (free, host))

    def _unplace(self, host: HostId) -> None:
        if (free := self._free.pop(host, None)) is not None:
            del self._order[bisect_left(self._order, (free, host))]
