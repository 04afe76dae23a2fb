"""Packets that map-servers say to each other through the char-server. Source: rAthena ids 3000-3037, 30a1-30a3 and their 38xx
twins.

The char-server passes each on to every slot but the sender's; map-servers behind one slot need a copy made for them.
"""

from typing import Final

from libs.rathena.packets import Packet, packet
from libs.rathena.tables import CHAR_TO_MAP, MAP_TO_CHAR

COPIED: Final = frozenset({0x3000, 0x3009, 0x3027, 0x3037, 0x30A1})
"""Ids whose copy differs in the id alone: 0x800 higher. Not 3003: its copy comes back to the sender's slot as well."""
_TWIN: Final = 0x800


def copy_of(packet_bytes: bytes) -> bytes | None:
    """What the char-server sends to the other slots for this packet of a map-server; None where that is not a plain copy."""
    packet_id = int.from_bytes(packet_bytes[:2], "little")
    return (packet_id + _TWIN).to_bytes(2, "little") + packet_bytes[2:] if packet_id in COPIED else None


@packet(MAP_TO_CHAR, 0x3000)
class Broadcast(Packet, frozen=True, kw_only=True):
    """3000. font_color: 0xff000000 a plain one. message: ends with a zero."""

    font_color: int
    font_type: int
    font_size: int
    font_align: int
    font_y: int
    message: bytes


@packet(CHAR_TO_MAP, 0x3800)
class BroadcastCopy(Broadcast, frozen=True, kw_only=True):
    """3800."""


class _Whisper(Packet, frozen=True, kw_only=True):
    """sender, target: characters' names, 24 bytes."""

    sender_group_level: int
    sender: bytes
    target: bytes
    message: bytes


@packet(MAP_TO_CHAR, 0x3001)
class Whisper(_Whisper, frozen=True, kw_only=True):
    """3001: to somebody who is not on this server. Answered by 3802."""


@packet(CHAR_TO_MAP, 0x3801)
class WhisperCopy(_Whisper, frozen=True, kw_only=True):
    """3801, to every slot, the sender's too; each answers 3002 with the whisper_id."""

    whisper_id: int


@packet(MAP_TO_CHAR, 0x3002)
class WhisperReply(Packet, frozen=True, kw_only=True):
    """3002. flag: 0 delivered, 1 not here, 2 ignored. The first that is not 1 counts, else the last of all slots."""

    whisper_id: int
    flag: int


@packet(CHAR_TO_MAP, 0x3802)
class WhisperResult(Packet, frozen=True, kw_only=True):
    """3802, to the sender's slot. flag: 0 delivered, 1 not online, 2 ignored."""

    sender: bytes
    flag: int


@packet(MAP_TO_CHAR, 0x3003)
class WhisperToGm(Packet, frozen=True, kw_only=True):
    """3003. name: the sender's, 24 bytes. permission: who is to hear it."""

    name: bytes
    permission: int
    message: bytes


@packet(CHAR_TO_MAP, 0x3803)
class WhisperToGmCopy(WhisperToGm, frozen=True, kw_only=True):
    """3803; alone among the copies it goes to the sender's slot as well."""


@packet(MAP_TO_CHAR, 0x3009)
class BroadcastItem(Packet, frozen=True, kw_only=True):
    """3009: somebody got something rare. name: 24 bytes. source_name: 24 bytes where an NPC gave it, else nothing."""

    item_id: int
    source: int
    type: int
    name: bytes
    source_name: bytes = b""


@packet(CHAR_TO_MAP, 0x3809)
class BroadcastItemCopy(BroadcastItem, frozen=True, kw_only=True):
    """3809."""


class _GroupMessage(Packet, frozen=True, kw_only=True):
    """message: `name : text` as members see it."""

    account_id: int
    message: bytes


@packet(MAP_TO_CHAR, 0x3027)
class PartyMessage(_GroupMessage, frozen=True, kw_only=True):
    """3027."""

    party_id: int


@packet(CHAR_TO_MAP, 0x3827)
class PartyMessageCopy(PartyMessage, frozen=True, kw_only=True):
    """3827."""


@packet(MAP_TO_CHAR, 0x3037)
class GuildMessage(_GroupMessage, frozen=True, kw_only=True):
    """3037."""

    guild_id: int


@packet(CHAR_TO_MAP, 0x3837)
class GuildMessageCopy(GuildMessage, frozen=True, kw_only=True):
    """3837."""


@packet(MAP_TO_CHAR, 0x30A1)
class ClanMessage(_GroupMessage, frozen=True, kw_only=True):
    """30a1."""

    clan_id: int


@packet(CHAR_TO_MAP, 0x38A1)
class ClanMessageCopy(ClanMessage, frozen=True, kw_only=True):
    """38a1."""


@packet(MAP_TO_CHAR, 0x30A2)
class ClanMemberLeft(Packet, frozen=True, kw_only=True):
    """30a2."""

    clan_id: int


@packet(MAP_TO_CHAR, 0x30A3)
class ClanMemberJoined(Packet, frozen=True, kw_only=True):
    """30a3."""

    clan_id: int


@packet(CHAR_TO_MAP, 0x38A2)
class ClanOnlineCount(Packet, frozen=True, kw_only=True):
    """38a2: the char-server counts 30a3 and 30a2, and says so to the other slots."""

    clan_id: int
    count: int
