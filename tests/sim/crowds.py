"""Hosts that take only so many players: which of them had no room for what they were given (docs/adr/0027).

In: stored facts. Out: a sentence, or none. Written from the record, not from libs/hosting/room.py: every count is made anew
from what stood in the log at the decision's basis.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeVar

from libs.events import Basis, Fact, HostDown, HostId, HostUp, MapAssign, MapCensus, MapEnter, MapName

T = TypeVar("T")
Said = dict[T, list[tuple[int, object]]]


class Crowds:
    """Told of each fact of the log; asked about a decision before it is told of it."""

    def __init__(self) -> None:
        self._lives: Said[HostId] = {}
        self._enters: Said[MapName] = {}
        self._censuses: Said[MapName] = {}
        self._assigned: Said[MapName] = {}
        self._looks: dict[str, list[MapAssign]] = {}

    def on_fact(self, fact: Fact) -> None:
        event = fact.event
        if isinstance(event, HostUp | HostDown):
            self._lives.setdefault(event.host, []).append((fact.seq, event))
        elif isinstance(event, MapEnter):
            self._enters.setdefault(event.map, []).append((fact.seq, event))
        elif isinstance(event, MapCensus):
            self._censuses.setdefault(event.map, []).append((fact.seq, event))
        elif isinstance(event, MapAssign):
            self._assigned.setdefault(event.map, []).append((fact.seq, event))
            self._looks.setdefault(event.look, []).append(event)

    def no_room(self, assign: MapAssign) -> str:
        """Who has no room for the map: its new host, or a backup that is new."""
        _, before = _last(self._assigned.get(assign.map, ()), assign.basis.assignments)
        named = [before.host, *before.backups] if isinstance(before, MapAssign) else []
        if assign.host is not None and assign.tenure is None:
            by_failover = assign.reason in ("failover", "drain")
            inherits = by_failover and assign.host in named
            # Of a look all that is given to a host fits, in whatever order it is stored; but heirs may fill more than others.
            mates = self._looks.get(assign.look, []) if inherits or not by_failover else []
            if why := self._crowded(assign.host, assign, 100 if inherits else 80, mates):
                return why
        new = [backup for backup in assign.backups if backup not in named]
        return next(filter(None, (self._crowded(backup, assign, 80) for backup in new)), "")

    def _crowded(self, host: HostId, assign: MapAssign, percent: int, mates: Sequence[MapAssign] = ()) -> str:
        _, life = _last(self._lives.get(host, ()), assign.basis.hosts)
        if not isinstance(life, HostUp) or life.players_max is None:
            return ""
        kept, come = life.players_max - 1, self._players(assign.map, assign.basis)  # one place stays free
        here = sum(self._players(name, assign.basis) for name in self._serves(host, assign, mates) if name != assign.map)
        if here + come <= min(kept, max(1, kept * percent // 100)):
            return ""
        return f"{host}, where {here} players are and at most {life.players_max} may be, for {come} more"

    def _serves(self, host: HostId, assign: MapAssign, mates: Sequence[MapAssign]) -> set[MapName]:
        """At the basis, and by these decisions of the same look."""
        at = assign.basis.assignments
        served = {name for name, said in self._assigned.items() if getattr(_last(said, at)[1], "host", None) == host}
        return served | {given.map for given in mates if given.host == host}

    def _players(self, name: MapName, basis: Basis) -> int:
        """Of the last census, and one more if somebody entered since, whom no assignment had read."""
        census_seq, census = _last(self._censuses.get(name, ()), basis.maps)
        enter_seq, _ = _last(self._enters.get(name, ()), basis.maps)
        _, assign = _last(self._assigned.get(name, ()), basis.assignments)
        read = assign.basis.maps if isinstance(assign, MapAssign) else 0
        counted = sum(census.players.values()) if isinstance(census, MapCensus) else 0
        return counted + (enter_seq > max(census_seq, read))


def _last(said: Sequence[tuple[int, object]], upto: int) -> tuple[int, object]:
    """The last one at or below a sequence; (0, None) for none."""
    at = bisect_right(said, upto, key=lambda one: one[0])
    return said[at - 1] if at else (0, None)
