"""Packets of map-servers that the core does not handle itself: to the char-server, answered here, or dropped.

In: a whole packet of a node, as the splitter cut it. Out: effects. Which rule holds: `services.bridge.policy`. Raises BadPacket
nowhere: what is too short is reported.
"""

from collections.abc import Iterator
from typing import Final

from libs.rathena import inter
from libs.rathena.layout import Layout
from libs.rathena.tables import MAP_TO_CHAR
from services.bridge import chat, fence, guards, inside, policy
from services.bridge.asked import Asked
from services.bridge.effects import Down, Effect, Report, Up
from services.bridge.fence import Standing
from services.bridge.groups import Groups
from services.bridge.nodes import Node, Nodes
from services.bridge.players import Player, Players
from services.bridge.policy import Rule

_CORES: Final = frozenset({Rule.HANDLED, Rule.CHECKED})
_USERS_MAX: Final = 0xFFFF
_KEYLESS: Final = frozenset({0x3009, 0x30A2, 0x30A3})
"""OWN or SPOKEN without a key: `guards` finds out whose it is."""


class Upward:
    """groups, asked, whispers: shared with `Downward` (`services.bridge.mux`). layout: of the servers' build."""

    def __init__(
        self, nodes: Nodes, players: Players, *, groups: Groups, asked: Asked, whispers: chat.Whispers, layout: Layout
    ) -> None:
        self._nodes = nodes
        self._players = players
        self._groups = groups
        self._asked = asked
        self._whispers = whispers
        self._layout = layout

    def take(self, node: Node, packet: bytes) -> Iterator[Effect]:
        """Everything whose `policy.rule_for` is neither HANDLED nor CHECKED."""
        packet_id = int.from_bytes(packet[:2], "little")
        rule = policy.rule_for(node, packet_id)
        assert rule not in _CORES, f"{packet_id:04x} is the core's"
        if rule is Rule.REFUSED:
            yield Report("refused", node.server, packet_id, policy.row_of(packet_id).why)
        elif rule is Rule.SYNTHESISED:
            yield from self._here(node, packet, packet_id)
        elif rule is not Rule.IGNORED:
            yield from self._forward(node, packet, packet_id, rule)

    def fence(self, node: Node, packet: bytes) -> Player | None:
        """The player whom a packet names, where this node may speak of him. None: it may not, or nobody knows him: `is_nobody`
        tells. For packets the core handles itself."""
        return self.standing(node, packet).player

    def standing(self, node: Node, packet: bytes) -> Standing:
        """As `fence`, with the reason."""
        standing = fence.fence(self._players, node, packet)
        if node.is_vps or standing.player is None:
            return standing
        why = inside.misfit(self._layout, standing.player, packet)
        return Standing(False, why=why) if why else standing

    def is_nobody(self, packet: bytes) -> bool:
        """It names somebody who is not in the game. From a VPS server it passes."""
        return fence.is_nobody(self._players, MAP_TO_CHAR, packet)

    def settle(self, node: Node, packet: bytes) -> Iterator[Effect]:
        """What the sender of a packet that did not pass needs to be told, so that it does not repeat it."""
        return fence.settle(node, packet)

    def users(self) -> Up:
        """2afe: how many play on all nodes."""
        users = min(sum(node.users for node in self._nodes), _USERS_MAX)
        return Up(inter.UserCount(users=users).pack())

    def _here(self, node: Node, packet: bytes, packet_id: int) -> Iterator[Effect]:
        """What is swallowed is not mentioned."""
        match packet_id:
            case inter.UserCount.packet_id:
                claimed = inter.UserCount.unpack(packet).users
                node.users = claimed if node.is_vps else min(claimed, len(self._players.owned_by(node)))
                yield self.users()
            case inter.Keepalive.packet_id:
                yield Down(node.link, inter.KeepaliveAck().pack())
            case inter.WhisperReply.packet_id:
                yield from self._whispers.answer(node, packet)
            case inter.CharOffline.packet_id if node.is_vps and self.is_nobody(packet):
                yield Up(packet)

    def _forward(self, node: Node, packet: bytes, packet_id: int, rule: Rule) -> Iterator[Effect]:
        standing = Standing(True)
        if node.is_vps or (rule is not Rule.ASKED and packet_id not in _KEYLESS):
            standing = fence.fence(self._players, node, packet)
        if not standing.passes:
            yield Report("fenced", node.server, packet_id, standing.why)
            yield from fence.settle(node, packet)
            return
        if not node.is_vps:
            said = guards.Said(node, packet, standing.player, self._players, self._groups, self._layout)
            if (doubt := guards.doubt(said)) is not None:
                yield Report(doubt.kind, node.server, packet_id, doubt.why)
                return
            if packet_id == inter.Whisper.packet_id:
                packet = guards.without_rank(packet)
        self._asked.note(node.link, packet)
        yield Up(packet)
        yield from chat.copies(self._nodes, self._groups, node, packet)
