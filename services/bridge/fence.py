"""May this map-server speak of this player? The fence at the resource (DESIGN D6), and what a stale server needs to settle.

The core asks it for every packet with a key, also for those it handles itself.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from libs.rathena import inter
from libs.rathena.keys import NOBODY, Key, key_of
from libs.rathena.packets import BadPacket
from libs.rathena.tables import MAP_TO_CHAR, Table
from services.bridge import policy
from services.bridge.effects import Down
from services.bridge.nodes import Node
from services.bridge.players import Player, Players

_KEPT: Final = 1
"""388b's result as recorded."""
_STORAGE_ID_AT: Final = 13 + 18


class Standing(NamedTuple):
    """player: whom the packet names, where it passes and he is known. why: it does not pass."""

    passes: bool
    player: Player | None = None
    why: str = ""


def fence(players: Players, node: Node, packet: bytes) -> Standing:
    """A host may name players it serves and nobody else, and must name one. A VPS server may name those it serves, those nobody
    knows, and nobody; and in packets about others (`policy.Row.others`) everybody."""
    try:
        key = key_of(MAP_TO_CHAR, packet)
    except BadPacket as bad:
        return Standing(False, why=bad.reason)
    return _vps(players, node, packet, key) if node.is_vps else _host(players, node, key)


def is_nobody(players: Players, table: Table, packet: bytes) -> bool:
    """Neither account, character nor name of it is of a player in the game: of a character a VPS server brought in itself, as
    an automatic trader, or of one who has left. False where the packet has no key."""
    try:
        key = key_of(table, packet)
    except BadPacket:
        return False
    return key is not NOBODY and not _named(players, key)


def settle(node: Node, packet: bytes) -> Iterator[Down]:
    """What to tell a server whose word did not pass, so that it does not repeat it: final saves and storages count as kept
    (FACTS 7). Nothing for all other packets."""
    try:
        match int.from_bytes(packet[:2], "little"):
            case 0x2B01 if (save := inter.SaveChar.unpack(packet)).final:
                yield Down(node.link, inter.SaveAck(account_id=save.account_id, char_id=save.char_id).pack())
            case 0x308B:
                kept = inter.StorageSave.unpack(packet)
                number = packet[_STORAGE_ID_AT] if len(packet) > _STORAGE_ID_AT else 0
                ack = inter.StorageSaved(account_id=kept.account_id, result=_KEPT, table=kept.table, storage_id=number)
                yield Down(node.link, ack.pack())
    except BadPacket:
        return


def _host(players: Players, node: Node, key: Key) -> Standing:
    if key is NOBODY:
        return Standing(False, why="names nobody")
    if 0 in (key.account_id, key.char_id):
        return Standing(False, why="names nobody")
    player = players.by_name.get(key.name) if key.name is not None else players.of_char_or_account(key.account_id, key.char_id)
    if player is None:
        return Standing(False, why="names a player who is not in the game")
    return Standing(True, player) if player.owner is node else Standing(False, why="names a player it does not serve")


def _vps(players: Players, node: Node, packet: bytes, key: Key) -> Standing:
    named = _named(players, key)
    others = policy.row_of(int.from_bytes(packet[:2], "little")).others
    if not others and any(player.owner is not node for player in named):
        return Standing(False, why="names a player it does not serve any more")
    return Standing(True, next(iter(named), None))


def _named(players: Players, key: Key) -> list[Player]:
    found = (
        players.by_name.get(key.name) if key.name else None,
        players.by_char.get(key.char_id) if key.char_id else None,
        players.by_account.get(key.account_id) if key.account_id else None,
    )
    return [player for player in found if player is not None]
