"""Saves of map-servers, through the fence to the gate. In: what may change a character, 2afc. Out: to the gate, or dropped.

A stock map-server reckons HP and SP when it has read the inventory, the last of what it needs; then it asks for the status
changes (2afc). Until then it has the player without HP, and the char-server has all of him.
"""

from typing import Final

from services.bridge.changing import Changing
from services.bridge.mux import Mux
from services.bridge.nodes import Node
from services.bridge.players import Player
from services.bridge.saves import SaveGate, is_final
from services.bridge.state import State

WHOLE: Final = 0x2AFC
OF_THE_WHOLE: Final = frozenset({0x2B01, 0x2B15, 0x2B1C, 0x2B2E, 0x308B})
"""Saves that replace what was there. Variables and quests are told as they change."""


class Saving:
    def __init__(self, state: State, mux: Mux, gate: SaveGate, changing: Changing) -> None:
        self._state, self._mux, self._gate, self._changing = state, mux, gate, changing

    def on_whole(self, node: Node, packet: bytes) -> None:
        """2afc."""
        if (player := self._mux.upward.fence(node, packet)) is not None:
            player.whole = True
        self._state.out.extend(self._mux.upward.take(node, packet))

    def on_save(self, node: Node, packet: bytes) -> None:
        """Of `policy.CHECKED`."""
        upward, packet_id = self._mux.upward, packet[0] | packet[1] << 8
        player = upward.fence(node, packet)
        if player is not None and not player.whole and packet_id in OF_THE_WHOLE:
            self._in_part(node, player, packet)
        elif player is not None:
            self._gate.offer(node, player, packet)
        elif node.is_vps and upward.is_nobody(packet):
            self._state.up(packet)
        else:
            self._state.report("fenced", node, packet_id, upward.standing(node, packet).why)
            self._state.out.extend(upward.settle(node, packet))

    def _in_part(self, node: Node, player: Player, packet: bytes) -> None:
        """He left while his server was still reading him."""
        self._state.out.extend(self._mux.upward.settle(node, packet))
        if is_final(packet):
            self._changing.given_up(player)
