"""How a packet is declared: a frozen struct beside its direction and id; the bytes follow from the tables' field data.

In: one whole packet as `libs.rathena.framing` cut it. Out: a typed packet, or `BadPacket`; and back. The declarations are in
`libs.rathena.inter` and `libs.rathena.client`.
"""

from collections.abc import Callable
from functools import partial
from struct import Struct, error
from typing import Any, ClassVar, Final, Self, TypeVar

import msgspec

from libs.rathena.tables import VARIABLE, PacketKind, Table
from libs.rathena.values import pack_cell, pack_step, padded, unpack_cell, unpack_step

TYPED: Final[dict[tuple[str, int], "type[Packet]"]] = {}
"""(table's name, packet id) -> packet type; filled by `packet`."""

_CODES: Final = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i16": "h", "i32": "i", "u16be": "H"}
_SIZES: Final = {"ip4": 4, "pos3": 3, "move6": 6}


def _swapped(value: int) -> int:
    """Big endian among little-endian neighbours. Raises: OverflowError outside 16 bits."""
    return int.from_bytes(value.to_bytes(2, "big"), "little")


_LOAD: Final[dict[str, Callable[[Any], object]]] = {"u16be": _swapped, "pos3": unpack_cell, "move6": unpack_step}
_DUMP: Final[dict[str, Callable[[Any], object]]] = {"u16be": _swapped, "pos3": pack_cell, "move6": pack_step}


class BadPacket(Exception):
    """The bytes are not the packet they were taken for, or the values do not fit into it. Drop it; the stream goes on."""

    def __init__(self, reason: str, packet_id: int) -> None:
        super().__init__(f"{reason} (packet {packet_id:04x})")
        self.reason = reason
        self.packet_id = packet_id


class _Codec:
    """Between the values of one packet id and its bytes."""

    def __init__(self, kind: PacketKind) -> None:
        self.packet_id = kind.packet_id
        self.variable = kind.length == VARIABLE
        self.names = tuple(name for name, _ in kind.fields)
        kinds = [kind for _, kind in kind.fields]
        self.rest = bool(kinds) and kinds[-1] == "rest"
        fixed = kinds[:-1] if self.rest else kinds
        self.head = Struct("<H" + "H" * self.variable + "".join(map(_code, fixed)))
        self.load = [(at, _LOAD[kind]) for at, kind in enumerate(fixed) if kind in _LOAD]
        self.dump = [(at, _dump(kind)) for at, kind in enumerate(fixed) if kind not in _CODES or kind in _DUMP]
        assert self.variable or self.head.size == kind.length, f"the fields of {kind.packet_id:04x} do not add up"

    def values(self, packet: bytes) -> list[Any]:
        size = len(packet)
        if size < self.head.size or (size > self.head.size and not self.rest):
            raise BadPacket(f"{size} bytes, expected {self.head.size}{' or more' * self.rest}", self.packet_id)
        packet_id, *values = self.head.unpack_from(packet)
        if packet_id != self.packet_id:
            raise BadPacket(f"the bytes are a packet {packet_id:04x}", self.packet_id)
        if self.variable and (declared := values.pop(0)) != size:
            raise BadPacket(f"{size} bytes declare {declared}", self.packet_id)
        for at, load in self.load:
            values[at] = load(values[at])
        if self.rest:
            values.append(packet[self.head.size :])
        return values

    def bytes(self, values: list[Any]) -> bytes:
        rest = values.pop() if self.rest else b""
        try:
            for at, dump in self.dump:
                values[at] = dump(values[at])
            length = (self.head.size + len(rest),) if self.variable else ()
            return self.head.pack(self.packet_id, *length, *values) + rest
        except (error, OverflowError) as wrong:
            raise BadPacket(f"a value does not fit: {wrong}", self.packet_id) from None


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """One packet. way: the direction it goes. Integers as numbers; names and addresses as their bytes (`libs.rathena.values`
    reads them); rows and structs at a packet's end as bytes, for `libs.rathena.structs`."""

    way: ClassVar[Table]
    packet_id: ClassVar[int]
    _codec: ClassVar[_Codec]

    def pack(self) -> bytes:
        """Names shorter than their field are padded with zeros. Raises: BadPacket for a value that does not fit."""
        return self._codec.bytes([getattr(self, name) for name in self._codec.names])

    @classmethod
    def unpack(cls, packet: bytes) -> Self:
        """Raises: BadPacket where the bytes are another packet, too short or too long."""
        codec = cls._codec
        return cls(**dict(zip(codec.names, codec.values(packet), strict=True)))


P = TypeVar("P", bound=Packet)


def packet(table: Table, packet_id: int) -> Callable[[type[P]], type[P]]:
    """Class decorator: the packet's place on the wire. Its fields must be those of the table, by name."""

    def enter(packet_type: type[P]) -> type[P]:
        codec = _Codec(table.kind(packet_id))
        assert set(packet_type.__struct_fields__) == set(codec.names), (
            f"{packet_type.__name__} has not the fields of {codec.names}"
        )
        packet_type.way, packet_type.packet_id, packet_type._codec = table, packet_id, codec
        TYPED[table.name, packet_id] = packet_type
        return packet_type

    return enter


def _code(kind: str) -> str:
    return _CODES.get(kind) or f"{_size(kind)}s"


def _size(kind: str) -> int:
    return _SIZES.get(kind) or int(kind[1:])


def _dump(kind: str) -> Callable[[Any], object]:
    return _DUMP.get(kind) or partial(padded, size=_size(kind))
