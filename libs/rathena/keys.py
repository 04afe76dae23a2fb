"""Whose packet is it? The account and the character a packet belongs to, for routing replies and for fencing. Source:
libs/rathena/data."""

from typing import Final, NamedTuple

from libs.rathena.packets import BadPacket
from libs.rathena.tables import Table
from libs.rathena.values import NAME_BYTES, cut

_NUMBER_BYTES: Final = 4
from_bytes = int.from_bytes


class Key(NamedTuple):
    """Whatever of these the packet says; None where it does not. Many say only one of them. name: the character's, unpadded."""

    account_id: int | None = None
    char_id: int | None = None
    name: bytes | None = None


NOBODY: Final = Key()
"""The packet belongs to no player, or nothing in it says to whom."""


def key_of(table: Table, packet: bytes) -> Key:
    """Raises: BadPacket where the packet's id is none of the table, or the packet ends before its key."""
    packet_id = packet[0] | packet[1] << 8 if len(packet) > 1 else -1
    kind = table.kinds.get(packet_id)
    if kind is None:
        raise BadPacket(f"unknown in {table.name}", packet_id & 0xFFFF)
    account_at, char_at, name_at = kind.account_at, kind.char_at, kind.name_at
    if name_at is None:
        if account_at is None and char_at is None:
            return NOBODY
        if len(packet) < max(account_at or 0, char_at or 0) + _NUMBER_BYTES:
            raise BadPacket("ends before its key", packet_id)
        return Key(
            None if account_at is None else from_bytes(packet[account_at : account_at + 4], "little"),
            None if char_at is None else from_bytes(packet[char_at : char_at + 4], "little"),
        )
    name = cut(_part(packet, name_at, NAME_BYTES, packet_id))
    return Key(_id(packet, account_at, packet_id), _id(packet, char_at, packet_id), name)


def _id(packet: bytes, at: int | None, packet_id: int) -> int | None:
    return None if at is None else int.from_bytes(_part(packet, at, _NUMBER_BYTES, packet_id), "little")


def _part(packet: bytes, at: int, size: int, packet_id: int) -> bytes:
    part = packet[at : at + size]
    if len(part) < size:
        raise BadPacket("ends before its key", packet_id)
    return part
