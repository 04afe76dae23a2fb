"""What a host says about its own player may still be false: another's name in front of words, another's party, an odd size.

In: a packet that passed the fence. Out: why it is doubted, or None. The save gate has its own rules for CHECKED packets.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from libs.rathena import inter
from libs.rathena.layout import Layout
from libs.rathena.values import NAME_BYTES, cut
from services.bridge import policy
from services.bridge.groups import Groups
from services.bridge.nodes import Node
from services.bridge.players import Player, Players
from services.bridge.policy import GroupAt

WORDS_BYTES_MAX: Final = 256
"""The longest line a stock server lets a client say."""
_NAME_TYPES: Final = frozenset({1, 2})
"""3006: pets and homunculi. A character is renamed on the VPS."""
_TABLES: Final = frozenset({1, 2, 3})
"""308a: inventory, cart, storage. Guild storages are the VPS's."""
_PARTY_MEMBER: Final = "party_member"
_FIND_NAME_AT: Final = 11


class Said(NamedTuple):
    """player: of the key; None where the packet has none."""

    node: Node
    packet: bytes
    player: Player | None
    players: Players
    groups: Groups
    layout: Layout


class Doubt(NamedTuple):
    """kind: of a Report. `forged`, or `dropped` where nothing shows that it is."""

    kind: str
    why: str


def doubt(said: Said) -> Doubt | None:
    """Why a host's packet is not passed on."""
    packet_id = int.from_bytes(said.packet[:2], "little")
    at = policy.row_of(packet_id).group
    if at is not None and not _is_member(said, at):
        known = all(said.groups.knows(at.kind, player.char_id) for player in said.players.owned_by(said.node))
        kind = at.kind.removesuffix("_id")
        return (
            Doubt("forged", f"of a {kind} without its player")
            if known
            else Doubt("dropped", f"nobody knows yet whose {kind} it is")
        )
    why = _CHECKS[packet_id](said) if packet_id in _CHECKS else None
    return Doubt("forged", why) if why else None


def _is_member(said: Said, at: GroupAt) -> bool:
    group_id = int.from_bytes(said.packet[at.offset : at.offset + 4], "little")
    if group_id <= 0:
        return False
    if said.player is None or at.anyone:
        return said.groups.has(said.node, at.kind, group_id)
    return said.groups.of(at.kind, said.player.char_id) == group_id


def without_rank(packet: bytes) -> bytes:
    """A host's whisper: whoever speaks there is no GM."""
    return packet[:4] + bytes(4) + packet[8:]


def _words(start: int) -> Callable[[Said], str | None]:
    def check(said: Said) -> str | None:
        words = said.packet[start:]
        if said.player is None or not words.startswith(said.player.name + b" : "):
            return "words in another's name"
        return "too many words" if len(words) > WORDS_BYTES_MAX else None

    return check


def _whisper(said: Said) -> str | None:
    size = len(said.packet) - 8 - 2 * NAME_BYTES
    return None if 0 < size <= WORDS_BYTES_MAX else "too many words or none"


def _size(before: int) -> Callable[[Said], str | None]:
    def check(said: Said) -> str | None:
        return None if len(said.packet) == before + said.layout.size(_PARTY_MEMBER) else "no party member"

    return check


def _find(said: Said) -> str | None:
    if len(said.packet) not in (_FIND_NAME_AT + NAME_BYTES, _FIND_NAME_AT + 2 * NAME_BYTES):
        return "no find"
    finder = said.players.by_name.get(cut(said.packet[_FIND_NAME_AT : _FIND_NAME_AT + NAME_BYTES]))
    return None if finder is not None and finder.owner is said.node else "the find of a player it does not serve"


def _table(said: Said) -> str | None:
    return None if inter.StorageLoad.unpack(said.packet).table in _TABLES else "a guild's storage"


def _name(said: Said) -> str | None:
    return None if said.packet[10] in _NAME_TYPES else "a character's name"


_CHECKS: Final[dict[int, Callable[[Said], str | None]]] = {
    0x3001: _whisper,
    0x3006: _name,
    0x3009: _find,
    0x3020: _size(30),
    0x3022: _size(8),
    0x3027: _words(12),
    0x3037: _words(12),
    0x308A: _table,
    0x30A1: _words(12),
}
