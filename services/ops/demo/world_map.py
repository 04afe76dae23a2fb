"""The real map graph: maps with their category and size, and the walk-on warps between them.

In: the package data (data/README.md says where it is from). Out: `world_map()`. Read once a process.
"""

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from libs.events import MapName


class DataMissing(Exception):
    """A file of the demo's data is not there or cannot be read: the installation is incomplete. Trying again is no use."""

    def __init__(self, name: str, why: object) -> None:
        super().__init__(f"services/ops/demo/data/{name} cannot be read ({why}); install kafra again")
        self.name = name


@dataclass(frozen=True, slots=True)
class Map:
    """width, height: cells. loaded: in a stock server's map list. has_mvp: an MVP spawns there."""

    name: MapName
    category: str
    width: int
    height: int
    loaded: bool
    has_mvp: bool


@dataclass(frozen=True, slots=True)
class Warp:
    """A walk-on warp: who steps on (x, y) of from_map stands on (to_x, to_y) of to_map."""

    from_map: MapName
    x: int
    y: int
    to_map: MapName
    to_x: int
    to_y: int


class WorldMap:
    """Maps and the warps between them. Warps from or to a map that is not loaded, and within one map, are left out: they
    change nobody's map."""

    def __init__(self, maps: Iterable[Map], warps: Iterable[Warp]) -> None:
        self.maps: Mapping[MapName, Map] = {map_.name: map_ for map_ in maps}
        self._leaving: dict[MapName, dict[MapName, list[Warp]]] = {}
        self._arriving: dict[MapName, list[Warp]] = {}
        for warp in warps:
            if warp.from_map != warp.to_map and self.is_loaded(warp.from_map) and self.is_loaded(warp.to_map):
                self._leaving.setdefault(warp.from_map, {}).setdefault(warp.to_map, []).append(warp)
                self._arriving.setdefault(warp.to_map, []).append(warp)

    def is_loaded(self, name: MapName) -> bool:
        return name in self.maps and self.maps[name].loaded

    def category(self, name: MapName) -> str:
        return self.maps[name].category

    def of_category(self, category: str) -> list[MapName]:
        """Loaded maps of a category, in the order of the map index."""
        return [map_.name for map_ in self.maps.values() if map_.loaded and map_.category == category]

    def neighbours(self, name: MapName) -> list[MapName]:
        """Maps one warp away, in the order of the warps."""
        return list(self._leaving.get(name, ()))

    def warps_between(self, from_map: MapName, to_map: MapName) -> list[Warp]:
        return self._leaving.get(from_map, {}).get(to_map, [])

    def warps_into(self, name: MapName) -> list[Warp]:
        return self._arriving.get(name, [])


@cache
def world_map() -> WorldMap:
    """The stock server's world.

    Raises:
        DataMissing: the package data is incomplete.
    """
    described: dict[str, dict[str, Any]] = json.loads(read_data("maps.json.gz"))
    rows: list[tuple[str, int, int, str, int, int]] = json.loads(read_data("warps.json.gz"))
    maps = (
        Map(MapName(name), about["category"], about["size"][0], about["size"][1], about["loaded"], about["has_mvp"])
        for name, about in described.items()
    )
    return WorldMap(maps, (Warp(MapName(a), x, y, MapName(b), to_x, to_y) for a, x, y, b, to_x, to_y in rows))


def read_data(name: str) -> str:
    """A file of the package data, unpacked.

    Raises:
        DataMissing: it is not there or is no gzip of UTF-8.
    """
    try:
        return gzip.decompress(files("services.ops.demo").joinpath("data", name).read_bytes()).decode()
    except (OSError, EOFError, ValueError) as error:
        raise DataMissing(name, error) from error
