"""Eight real clients' movements, recorded on a stock server (data/README.md), as events for the demo."""

import json
from collections import Counter
from dataclasses import dataclass
from functools import cache

from libs.events import MapEnter, MapLeave, MapName, Region
from services.ops.demo.world_map import read_data


@dataclass(frozen=True, slots=True)
class Movement:
    """One recorded enter or leave. t_ms: since the recording began. other: the map before an enter or after a leave, None at
    login and logout. x, y: entry cell, 0 for a leave."""

    t_ms: int
    account_id: int
    char_id: int
    enters: bool
    map: MapName
    other: MapName | None
    x: int
    y: int

    def event(self, at_ms: int, region: Region) -> MapEnter | MapLeave:
        if not self.enters:
            return MapLeave(map=self.map, account_id=self.account_id, char_id=self.char_id, at_ms=at_ms, to_map=self.other)
        return MapEnter(
            map=self.map,
            account_id=self.account_id,
            char_id=self.char_id,
            at_ms=at_ms,
            region=region,
            from_map=self.other,
            x=self.x,
            y=self.y,
        )


@cache
def recording() -> tuple[Movement, ...]:
    """All movements in order of time; every account ends with a logout, so that they can be played again.

    Raises:
        services.ops.demo.world_map.DataMissing: the package data is incomplete.
    """
    movements: list[Movement] = []
    next_map: dict[int, MapName | None] = {}
    for line in reversed(read_data("enters.jsonl.gz").splitlines()):  # backwards: a leave does not tell where to
        row = json.loads(line)
        account_id, map_, enters = row["account_id"], MapName(row["map"]), row["event"] == "enter"
        if enters:
            movement = Movement(row["t_ms"], account_id, row["char_id"], True, map_, row["from_map"], row["x"], row["y"])
            next_map[account_id] = map_
        else:
            assert row.get("logout") or account_id in next_map, f"the recording of {account_id} ends within the game"
            other = None if row.get("logout") else next_map[account_id]
            movement = Movement(row["t_ms"], account_id, row["char_id"], False, map_, other, 0, 0)
        movements.append(movement)
    return tuple(reversed(movements))


@cache
def recorded_accounts() -> tuple[int, ...]:
    """In ascending order."""
    return tuple(sorted(Counter(movement.account_id for movement in recording())))
