"""Who is on which map, and when that must be said: on change, at most once a second a map (DESIGN section 4)."""

import heapq

from libs.events import MapCensus, MapName, Region

CENSUS_GAP_MS = 1000


class Censuses:
    """Counts players by map and region. The first change of a quiet map is said at once; what follows within the gap is said
    together at its end; what came back to what was said is not said at all."""

    def __init__(self) -> None:
        self._players: dict[MapName, dict[Region, int]] = {}
        self._said: dict[MapName, tuple[int, dict[Region, int]]] = {}  # at_ms and what
        self._due: list[tuple[int, MapName]] = []
        self._waiting: set[MapName] = set()

    def count(self, map_: MapName, region: Region, change: int, at_ms: int) -> None:
        """change: +1 or -1."""
        players = self._players.setdefault(map_, {})
        players[region] = players.get(region, 0) + change
        assert players[region] >= 0, f"{map_} has fewer than no players of {region}"
        if players[region] == 0:
            del players[region]
        self._want(map_, at_ms)

    def next_due_ms(self) -> int | None:
        return self._due[0][0] if self._due else None

    def say_next(self) -> MapCensus | None:
        """The census that is due first; None when nothing changed since the last of its map."""
        at_ms, map_ = heapq.heappop(self._due)
        self._waiting.discard(map_)
        if map_ in self._said and self._said[map_][1] == self._players[map_]:
            return None
        return self._say(map_, at_ms)

    def restate(self, at_ms: int) -> list[MapCensus]:
        """Every map ever counted, but those said within the gap: what was said of these is fresh, or is said at its end."""
        quiet = [map_ for map_ in self._players if at_ms - self._said.get(map_, (-CENSUS_GAP_MS, {}))[0] >= CENSUS_GAP_MS]
        return [self._say(map_, at_ms) for map_ in quiet]

    def population(self) -> dict[MapName, dict[Region, int]]:
        """Maps with players -> region -> players."""
        return {map_: dict(players) for map_, players in self._players.items() if players}

    def _want(self, map_: MapName, at_ms: int) -> None:
        if map_ not in self._waiting:
            self._waiting.add(map_)
            said_ms = self._said[map_][0] if map_ in self._said else at_ms - CENSUS_GAP_MS
            heapq.heappush(self._due, (max(at_ms, said_ms + CENSUS_GAP_MS), map_))

    def _say(self, map_: MapName, at_ms: int) -> MapCensus:
        players = dict(self._players[map_])
        self._said[map_] = at_ms, players
        return MapCensus(map=map_, at_ms=at_ms, players=dict(players))
