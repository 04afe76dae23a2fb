"""Which script files a map-server with one map needs. Pure.

A file counts for nothing if what it places stands on other maps: rAthena skips what is on a map it has not loaded. Files stay
that place nothing, have functions or hear of players (OnPCLoginEvent), and those whose NPCs are duplicated on the map.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from libs.events import MapName
from libs.rathena.conf import Conf, map_name

_HEARS_PLAYERS: Final = re.compile(rb"^\s*OnPC\w+Event:", re.MULTILINE)
_HEAD: Final = re.compile(rb"^[ \t]*+(?!//)([^\t\r\n]++)\t++([^\t\r\n]++)(?:\t++([^\t\r\n]*+))?", re.MULTILINE)
_DUPLICATE: Final = re.compile(r"duplicate\((.+)\)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Script:
    """One file. places: maps something stands on. shared: others may call it. names: of its NPCs. sources: NPCs that those on
    a map are duplicates of."""

    places: frozenset[str]
    shared: bool
    names: frozenset[str]
    sources: Mapping[str, frozenset[str]]


def pruned(listed: Conf, map_: MapName, read: Callable[[str], bytes | None]) -> list[str]:
    """The `npc:` files of a scripts_main.conf with all it imports that matter to `map_`, in order. read: as read_conf's."""
    found = {name: script(data) for name in _listed(listed) if (data := read(name)) is not None}
    needed = {name for name, one in found.items() if one.shared or not one.places or map_ in one.places}
    while True:
        sources = frozenset[str]().union(*(found[name].sources.get(map_, frozenset()) for name in needed))
        further = {name for name, one in found.items() if name not in needed and sources & one.names}
        if not further:
            return [name for name in found if name in needed]
        needed |= further


def script(data: bytes) -> Script:
    places, names, shared = set(), set(), _HEARS_PLAYERS.search(data) is not None
    sources: dict[str, frozenset[str]] = {}
    for where, what, name in _heads(data):
        names.add(name.rpartition("::")[2])
        if where.lower() == "function":
            shared = True
        elif where != "-":
            place = map_name(where)
            places.add(place)
            if (of := _DUPLICATE.match(what)) is not None:
                sources[place] = sources.get(place, frozenset()) | {of[1]}
    return Script(frozenset(places), shared, frozenset(names), sources)


def conf(names: list[str]) -> str:
    """As a scripts_main.conf."""
    return "".join(f"npc: {name}\n" for name in names)


def _listed(listed: Conf) -> dict[str, None]:
    names: dict[str, None] = {}
    for setting in listed.settings:
        every = setting.value.lower() == ("clear" if setting.key == "npc" else "all")
        if setting.key in ("npc", "delnpc") and every:
            names.clear()
        elif setting.key == "npc":
            names[setting.value] = None
        elif setting.key == "delnpc":
            names.pop(setting.value, None)
    return names


def _heads(data: bytes) -> Iterator[tuple[str, str, str]]:
    """Lines that define something: where (without the cell), what, its name. A line within a script's body may look like one;
    that keeps a file too many."""
    for found in _HEAD.finditer(data):
        where, what, name = ((word or b"").decode("latin-1").strip() for word in found.groups())
        yield where.partition(",")[0].strip(), what, name
