"""Reads an rAthena tree, or its conf/ alone. In: a directory. Out: `Tree`, with every configuration a check asks for.

Nothing is written here; names are as rAthena writes them, from the directory its servers are started in.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from libs.rathena.conf import FILE_BYTES_MAX, Conf, Subnet, map_index, read_conf, subnets

MAP_CONF: Final = "conf/map_athena.conf"
BATTLE_CONF: Final = "conf/battle_athena.conf"
CHAR_CONF: Final = "conf/char_athena.conf"
INTER_CONF: Final = "conf/inter_athena.conf"
SUBNET_CONF: Final = "conf/subnet_athena.conf"
PACKET_CONF: Final = "conf/packet_athena.conf"
CORE_CONF: Final = "conf/import/kafra_core_map.conf"
FALLBACK_CONF: Final = "conf/import/kafra_fallback_map.conf"
OUR_BATTLE_CONF: Final = "conf/import/kafra_battle.conf"


class NoTree(Exception):
    """No rAthena is there. Give up; the text says what was looked for."""


@dataclass(frozen=True, slots=True)
class Tree:
    """own: the operator's map-server as it is without us. core, battle: ours where written, else his. fallback: ours, or None.
    char, inter, packet, subnets, index: None where the file is not there."""

    place: "Place"
    own: Conf
    core: Conf
    fallback: Conf | None
    battle: Conf | None
    char: Conf | None
    inter: Conf | None
    packet: Conf | None
    subnets: tuple[Subnet, ...] | None
    index: frozenset[str] | None

    @classmethod
    def read(cls, directory: Path) -> "Tree":
        """Raises: NoTree, BadConf, OSError."""
        return cls.at(Place.find(directory))

    @classmethod
    def at(cls, place: "Place") -> "Tree":
        """Raises: BadConf, OSError."""
        own = read_conf(MAP_CONF, place.read)
        return cls(
            place=place,
            own=own,
            core=place.conf_of(CORE_CONF) or own,
            fallback=place.conf_of(FALLBACK_CONF),
            battle=place.conf_of(OUR_BATTLE_CONF) or place.conf_of(BATTLE_CONF),
            char=place.conf_of(CHAR_CONF),
            inter=place.conf_of(INTER_CONF),
            packet=place.conf_of(PACKET_CONF),
            subnets=None if (data := place.read(SUBNET_CONF)) is None else subnets(data),
            index=_index(place, own.text("db_path", "db")),
        )

    @property
    def game(self) -> tuple[str, ...]:
        """The maps of the operator's game, each once: those of his map-server that have a place in the index."""
        return tuple(dict.fromkeys(name for name in self.own.maps() if self.index is None or name in self.index))


@dataclass(frozen=True, slots=True)
class Place:
    """root: where servers are started. conf: its conf/, which may be all there is. instead: what to read in place of a file, by
    name."""

    root: Path
    conf: Path
    instead: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def find(cls, directory: Path) -> "Place":
        """Raises: NoTree."""
        if not directory.is_dir():
            raise NoTree(f"{directory}: no such directory")
        if (directory / MAP_CONF).is_file():
            return cls(directory, directory / "conf")
        if (directory / Path(MAP_CONF).name).is_file():
            return cls(directory.absolute().parent, directory)
        raise NoTree(f"{directory}: no rAthena: neither {MAP_CONF} nor {Path(MAP_CONF).name} in it")

    def path(self, name: str) -> Path:
        """A name's very bytes, whatever this machine's encoding."""
        name = os.fsdecode(name.encode("latin-1"))
        head, _, rest = name.partition("/")
        return self.conf / rest if head == "conf" and rest else self.root / name

    def read(self, name: str) -> bytes | None:
        """Raises: OSError, for what is there and cannot be read."""
        if name in self.instead:
            return self.instead[name]
        path = self.path(name)
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX + 1)

    def conf_of(self, name: str) -> Conf | None:
        """Raises: BadConf, OSError."""
        return read_conf(name, self.read) if name in self.instead or self.path(name).is_file() else None


def _index(place: Place, db_path: str) -> frozenset[str] | None:
    if (stock := place.read(f"{db_path}/map_index.txt")) is None:
        return None
    return map_index(stock) | map_index(place.read(f"{db_path}/import/map_index.txt") or b"")
