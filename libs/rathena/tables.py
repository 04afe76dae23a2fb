"""The packet tables: which ids exist in a direction, how long they are, what is in them. Source: libs/rathena/data.

Four directions, one table each; `libs.rathena.framing` splits streams with them, `libs.rathena.packets` packs and unpacks with
their fields, `libs.rathena.keys` finds the owner of a packet.
"""

from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

import msgspec

VARIABLE: Final = -1
"""Length of a packet that carries its own length: u16 little endian at offset 2."""
UNKNOWN: Final = 0
_FORMAT: Final = 1
_IDS: Final = 65_536


@dataclass(frozen=True, slots=True)
class PacketKind:
    """One packet id of one direction.

    length: bytes, or VARIABLE. fields: (name, kind) in order, after the id (and the length); empty where nothing is known or
    nothing follows. account_at, char_at, name_at: offset of the owner's account id, character id, character name (24 bytes);
    None where the packet has none.
    """

    packet_id: int
    length: int
    name: str
    fields: tuple[tuple[str, str], ...]
    account_at: int | None
    char_at: int | None
    name_at: int | None
    note: str


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """What may be said in one direction. lengths: 65,536 entries by id: bytes, VARIABLE or UNKNOWN; a list, for speed."""

    name: str
    kinds: MappingProxyType[int, PacketKind]
    lengths: list[int]

    def kind(self, packet_id: int) -> PacketKind:
        """Raises: KeyError for an id that does not exist in this direction."""
        return self.kinds[packet_id]

    def title(self, packet_id: int) -> str:
        """For logs and errors: `2b01 save_char`."""
        kind = self.kinds.get(packet_id)
        return f"{packet_id:04x} {kind.name}" if kind and kind.name else f"{packet_id:04x}"


def _load(file_name: str, name: str) -> Table:
    data = msgspec.json.decode((resources.files("libs.rathena") / "data" / file_name).read_bytes())
    assert data["format"] == _FORMAT
    kinds = {int(number, 16): _kind(int(number, 16), row) for number, row in data[name].items()}
    lengths = [UNKNOWN] * _IDS
    for packet_id, kind in kinds.items():
        lengths[packet_id] = kind.length
    return Table(name, MappingProxyType(kinds), lengths)


def _kind(packet_id: int, row: dict[str, Any]) -> PacketKind:
    fields = tuple((name, kind) for name, _, kind in (field.partition(":") for field in row.get("fields", "").split()))
    key = row.get("key", {})
    length = VARIABLE if row["len"] == "u16@2" else row["len"]
    owner = (key.get("account_id"), key.get("char_id"), key.get("name"))
    return PacketKind(packet_id, length, row.get("name", ""), fields, *owner, row.get("note", ""))


MAP_TO_CHAR: Final = _load("inter_server.json", "map_to_char")
CHAR_TO_MAP: Final = _load("inter_server.json", "char_to_map")
CLIENT_TO_MAP: Final = _load("client.json", "client_to_map")
"""Client to map-server. A client's first packet is 0436."""
MAP_TO_CLIENT: Final = _load("client.json", "map_to_client")
TABLES: Final = (MAP_TO_CHAR, CHAR_TO_MAP, CLIENT_TO_MAP, MAP_TO_CLIENT)
