"""Whispers between map-servers behind one slot: many asked, one answer given; and copies that the char-server does not make.

The char-server asks each slot once whether the one whispered to is there (3801) and takes the first answer (3002) that is not
"not here", or the last of all slots. Ours is one slot, so the answers of the nodes are held and merged (FACTS 6).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from libs.rathena import inter
from libs.rathena.packets import BadPacket
from libs.rathena.values import cut
from services.bridge.effects import Down, Effect, Report, Up
from services.bridge.groups import CLAN, GUILD, PARTY, Groups
from services.bridge.nodes import Node, Nodes
from services.bridge.players import Players

NOT_HERE: Final = 1
ANSWER_WITHIN_MS: Final = 1_000
"""A node that says nothing is not there; the sender waits for it."""
OPEN_MAX: Final = 1_024
"""Whispers that wait at a time; the oldest is then answered with "not here"."""
_WHISPER_REPLY: Final = 0x3002
_GROUP_CHAT: Final = {0x3027: PARTY, 0x3037: GUILD, 0x30A1: CLAN}
_GROUP_AT: Final = 4


@dataclass(slots=True)
class _Open:
    waiting: set[int]
    due_ms: int


class Whispers:
    """Those asked of nodes and not answered yet, by whisper_id, oldest first."""

    def __init__(self, nodes: Nodes, players: Players) -> None:
        self._nodes = nodes
        self._players = players
        self._open: dict[int, _Open] = {}

    def ask(self, packet: bytes, now_ms: int) -> Iterator[Effect]:
        """packet: 3801. The node of the one it is for is asked; is he nobody of ours, all of the VPS."""
        try:
            whisper = inter.WhisperCopy.unpack(packet)
        except BadPacket:
            yield Report("dropped", "char-server", 0x3801, "no whisper")
            return
        asked = self._where(cut(whisper.target))
        yield from self._close(whisper.whisper_id, NOT_HERE)
        if not asked:
            yield _answer(whisper.whisper_id, NOT_HERE)
            return
        if len(self._open) >= OPEN_MAX:
            yield from self._close(next(iter(self._open)), NOT_HERE)
        self._open[whisper.whisper_id] = _Open({node.link for node in asked}, now_ms + ANSWER_WITHIN_MS)
        yield from (Down(node.link, packet) for node in asked)

    def answer(self, node: Node, packet: bytes) -> Iterator[Effect]:
        """packet: 3002. Any flag but "not here" settles it, else the last node does. Who was not asked is not heard."""
        reply = inter.WhisperReply.unpack(packet)
        asked = self._open.get(reply.whisper_id)
        if asked is None or node.link not in asked.waiting:
            yield Report("dropped", node.server, _WHISPER_REPLY, "not asked, or too late")
            return
        asked.waiting.discard(node.link)
        if reply.flag != NOT_HERE or not asked.waiting:
            yield from self._close(reply.whisper_id, reply.flag)

    def due(self, now_ms: int) -> Iterator[Effect]:
        """Those which waited long enough. Call it at least every 100 ms while `waiting`."""
        for whisper_id in [number for number, asked in self._open.items() if asked.due_ms <= now_ms]:
            yield from self._close(whisper_id, NOT_HERE)

    @property
    def waiting(self) -> int:
        return len(self._open)

    def lost(self, node: Node) -> Iterator[Effect]:
        """The node's link ended: it answers nothing any more."""
        for whisper_id, asked in list(self._open.items()):
            asked.waiting.discard(node.link)
            if not asked.waiting:
                yield from self._close(whisper_id, NOT_HERE)

    def clear(self) -> None:
        """The char-server is another and waits for nothing."""
        self._open.clear()

    def _where(self, name: bytes) -> list[Node]:
        player = self._players.by_name.get(name)
        if player is None:
            return [node for node in self._nodes.ready() if node.is_vps]
        node = player.owner or player.bound
        return [node] if node is not None and self._nodes.get(node.link) is node else []

    def _close(self, whisper_id: int, flag: int) -> Iterator[Effect]:
        if self._open.pop(whisper_id, None) is not None:
            yield _answer(whisper_id, flag)


def copies(nodes: Nodes, groups: Groups, sender: Node, packet: bytes) -> Iterator[Effect]:
    """What the char-server would send to the other slots for this packet, to the other nodes behind ours: all of the VPS, and
    the hosts it concerns. Nothing for packets of other ids."""
    packet_id = int.from_bytes(packet[:2], "little")
    copy, kind, group_id = inter.copy_of(packet), _GROUP_CHAT.get(packet_id), _number(packet, _GROUP_AT)
    if packet_id in (inter.ClanMemberLeft.packet_id, inter.ClanMemberJoined.packet_id):
        kind, group_id = CLAN, _number(packet, 2)
        came = packet_id == inter.ClanMemberJoined.packet_id
        count = max(groups.count(CLAN, group_id), 1) - (not came)
        copy = inter.ClanOnlineCount(clan_id=group_id, count=min(count, 0xFFFF)).pack()
    if copy is None:
        return
    for node in nodes.ready():
        if node is not sender and (node.is_vps or kind is None or groups.has(node, kind, group_id)):
            yield Down(node.link, copy)


def _answer(whisper_id: int, flag: int) -> Up:
    return Up(inter.WhisperReply(whisper_id=whisper_id, flag=flag).pack())


def _number(packet: bytes, at: int) -> int:
    return int.from_bytes(packet[at : at + 4], "little")
