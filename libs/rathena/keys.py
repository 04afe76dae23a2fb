"""Whose packet is it? The account and the character a packet belongs to, for routing replies and for fencing. Source:
libs/rathena/data."""

from typing import Final, NamedTuple

from libs.rathena.packets import BadPacket
from libs.rathena.tables import Table
from libs.rathena.values import NAME_BYTES, cut

_NUMBER_BYTES: Final = 4


class Key(NamedTuple):
    """Whatever of these the packet says; None where it does not. Many say only one of them. name: the character's, unpadded."""

    account_id: int | None = None
    char_id: int | None = None
    name: bytes | None = None


NOBODY: Final = Key()
"""The packet belongs to no player, or nothing in it says to whom."""


def key_of(table: Table, packet: bytes) -> Key:
    """Raises: BadPacket where the packet's id is none of the table, or the packet ends before its key."""
    packet_id = int.from_bytes(packet[:2], "little")
    kind = table.kinds.get(packet_id)
    if kind is None:
        raise BadPacket(f"unknown in {table.name}", packet_id)
    if kind.account_at is None and kind.char_at is None and kind.name_at is None:
        return NOBODY
    name = None if kind.name_at is None else cut(_part(packet, kind.name_at, NAME_BYTES, packet_id))
    return Key(_id(packet, kind.account_at, packet_id), _id(packet, kind.char_at, packet_id), name)


def _id(packet: bytes, at: int | None, packet_id: int) -> int | None:
    return None if at is None else int.from_bytes(_part(packet, at, _NUMBER_BYTES, packet_id), "little")


def _part(packet: bytes, at: int, size: int, packet_id: int) -> bytes:
    part = packet[at : at + size]
    if len(part) < size:
        raise BadPacket("ends before its key", packet_id)
    return part
