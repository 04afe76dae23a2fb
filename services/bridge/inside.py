"""The structs in a host's saves name their owner too, and the char-server may go by those: they must name the same player.

In: a CHECKED packet that passed the fence, and the player of its key. Out: what does not fit, or None. Whether what is saved is
plausible is the save gate's matter.
"""

from collections.abc import Callable
from typing import Final

from libs.rathena.carried import mismatch
from libs.rathena.layout import CHARACTER, STORAGE, Layout
from libs.rathena.structs import BadStruct, integer
from services.bridge.players import Player

INVENTORY, CART, STORE = 1, 2, 3
"""Tables of 308b; the one left out is a guild's."""
_MERCENARY, _ELEMENTAL, _PET, _HOMUNCULUS = "s_mercenary", "s_elemental", "s_pet", "s_homunculus"
_BEFORE: Final = {
    0x3070: (4, _MERCENARY),
    0x3073: (4, _MERCENARY),
    0x307C: (4, _ELEMENTAL),
    0x307F: (4, _ELEMENTAL),
    0x3082: (8, _PET),
    0x3090: (8, _HOMUNCULUS),
    0x3092: (8, _HOMUNCULUS),
}
"""Companions' saves -> (bytes before the struct, the struct)."""


def misfit(layout: Layout, player: Player, packet: bytes) -> str | None:
    """A save of another build's size is left to the gate, which says what to do about it (`carried.mismatch`)."""
    packet_id = int.from_bytes(packet[:2], "little")
    check = _CHECKS.get(packet_id)
    if check is None or mismatch(layout, packet) is not None:
        return None
    try:
        return check(layout, player, packet)
    except BadStruct:
        return "its struct has another size"


def _character(layout: Layout, player: Player, packet: bytes) -> str | None:
    status = packet[13:]
    named = tuple(integer(layout, CHARACTER, status, field) for field in ("account_id", "char_id"))
    return None if named == (player.account_id, player.char_id) else "the character inside is another"


def _storage(layout: Layout, player: Player, packet: bytes) -> str | None:
    table, storage = packet[4], packet[13:]
    owners = {INVENTORY: (player.char_id,), CART: (player.char_id,), STORE: (player.account_id, player.char_id)}
    if table not in owners:
        return "a guild's storage"
    if integer(layout, STORAGE, storage, "type") != table or integer(layout, STORAGE, storage, "id") not in owners[table]:
        return "the storage inside is another"
    return None


def _companion(layout: Layout, player: Player, packet: bytes) -> str | None:
    """One that is not out of its egg belongs to no character: 0."""
    before, struct_name = _BEFORE[int.from_bytes(packet[:2], "little")]
    struct = packet[before:]
    owner = integer(layout, struct_name, struct, "char_id")
    account = integer(layout, struct_name, struct, "account_id") if struct_name == _PET else player.account_id
    allowed = (player.char_id, 0) if struct_name == _PET else (player.char_id,)
    return None if owner in allowed and account == player.account_id else "the companion inside is another's"


_CHECKS: Final[dict[int, Callable[[Layout, Player, bytes], str | None]]] = {
    0x2B01: _character,
    0x308B: _storage,
    **dict.fromkeys(_BEFORE, _companion),
}
