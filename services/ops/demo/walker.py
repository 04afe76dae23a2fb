"""How a simulated player moves: logs in at a town, walks through real warps, hunts in fields and dungeons, logs out.

All times here are of the game; `Players` divides them by its pace.
"""

import random
from dataclasses import dataclass
from math import log

from libs.events import MapName, Region
from services.ops.demo.world_map import Warp, WorldMap

REGION_WEIGHTS = {Region("eu"): 0.40, Region("na"): 0.25, Region("sa"): 0.20, Region("asia"): 0.15}
HOME_TOWNS = {
    Region("eu"): ("prontera", "geffen", "aldebaran", "izlude"),
    Region("na"): ("prontera", "payon", "alberta", "einbroch"),
    Region("sa"): ("prontera", "morocc", "comodo", "veins"),
    Region("asia"): ("payon", "yuno", "amatsu", "lighthalzen"),
}
"""Where players of a region like to begin, so that maps differ in where their players are."""
HOME_RATIO = 0.75
FERRY_LANDINGS = ("izlu2dun", "morocc")
"""Login points beside the towns: Byalan, which a ferry reaches (no walk-on warp does), and Morocc, whose town flag is gone."""

ATTRACTION = {"dungeon": 6.0, "field": 4.0, "town": 1.5, "job_novice": 1.0, "indoor": 0.4, "guild_castle": 0.05}
"""How much a next map of a category draws; a category not named: ATTRACTION_ELSE."""
ATTRACTION_ELSE = 0.5
TURNING_BACK = 0.35
"""Factor for the map a player just came from."""

PASSING_S = 20.0
DWELL_S = {"field": 180.0, "dungeon": 240.0, "town": 60.0, "indoor": 25.0}
"""Median stay of one who came for the map itself; a category not named: DWELL_ELSE_S."""
DWELL_ELSE_S = 45.0
HUNTING_RATIO = 0.35
"""Share of stays that are for the map itself; the others only pass through."""
DWELL_SPREAD = 0.7
DWELL_RANGE_S = (4.0, 1800.0)
SESSION_S, SESSION_SPREAD, SESSION_RANGE_S = 1800.0, 0.8, (60.0, 14_400.0)
OFFLINE_S, OFFLINE_SPREAD, OFFLINE_RANGE_S = 180.0, 0.8, (10.0, 3600.0)


@dataclass(slots=True)
class Walker:
    """One simulated player. map: None while offline. session_end_ms: when the player means to stop, Unix ms."""

    account_id: int
    char_id: int
    region: Region
    map: MapName | None = None
    before: MapName | None = None
    session_end_ms: int = 0


class Habits:
    """What walkers choose. rng: all chance of it."""

    def __init__(self, world: WorldMap, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        self.login_points = [map_ for map_ in self._candidates() if world.warps_into(map_) and world.neighbours(map_)]
        assert self.login_points, "the world has no town that a warp leads into and out of"
        self._homes = {
            region: tuple(MapName(town) for town in towns if town in self.login_points) for region, towns in HOME_TOWNS.items()
        }

    def region(self, weights: dict[Region, float]) -> Region:
        return self._rng.choices(list(weights), list(weights.values()))[0]

    def login_warp(self, region: Region) -> Warp:
        """A warp into a login point: its arrival cell is where the player appears."""
        homes = self._homes.get(region, ())
        town = self._rng.choice(homes if homes and self._rng.random() < HOME_RATIO else self.login_points)
        return self._rng.choice(self._world.warps_into(town))

    def next_warp(self, walker: Walker) -> Warp | None:
        """The warp the walker takes; None where no warp leads on."""
        assert walker.map is not None
        ways = self._world.neighbours(walker.map)
        if not ways:
            return None
        weights = [self._attraction(way) * (TURNING_BACK if way == walker.before else 1.0) for way in ways]
        return self._rng.choice(self._world.warps_between(walker.map, self._rng.choices(ways, weights)[0]))

    def dwell_s(self, map_: MapName) -> float:
        hunts = self._rng.random() < HUNTING_RATIO
        median_s = DWELL_S.get(self._world.category(map_), DWELL_ELSE_S) if hunts else PASSING_S
        return self._around(median_s, DWELL_SPREAD, DWELL_RANGE_S)

    def session_s(self) -> float:
        return self._around(SESSION_S, SESSION_SPREAD, SESSION_RANGE_S)

    def offline_s(self) -> float:
        return self._around(OFFLINE_S, OFFLINE_SPREAD, OFFLINE_RANGE_S)

    def _around(self, median_s: float, spread: float, range_s: tuple[float, float]) -> float:
        """Log-normal, as stays of people are: many short, some very long."""
        return min(max(self._rng.lognormvariate(log(median_s), spread), range_s[0]), range_s[1])

    def _attraction(self, map_: MapName) -> float:
        return ATTRACTION.get(self._world.category(map_), ATTRACTION_ELSE)

    def _candidates(self) -> list[MapName]:
        landings = [MapName(name) for name in FERRY_LANDINGS if self._world.is_loaded(MapName(name))]
        return [*self._world.of_category("town"), *landings]
