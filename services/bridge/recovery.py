"""A bridge that has just started: whom has each map-server? In: what map-servers say of players a relay may yet name. Out: the
same, in order, when every relay that was known has stated its table, or after `recover_ms`.
"""

from collections.abc import Callable

from libs.rathena.inter_chars import DisconnectPlayer, SearchCharName
from services.bridge.mux import Mux
from services.bridge.nodes import Node
from services.bridge.returning import adopt
from services.bridge.slot import Slot
from services.bridge.state import State

KICK_REASON = 2
HELD_BACK_BYTES_MAX = 64 * 1024 * 1024
"""What map-servers say while a starting bridge waits for its relays: 2 s of 30 hosts' autosaves, with room."""


class Recovery:
    """take: what the core does with a packet of a node."""

    def __init__(self, state: State, mux: Mux, slot: Slot, take: Callable[[Node, bytes], None]) -> None:
        self._state, self._mux, self._slot, self._take = state, mux, slot, take
        self._since_ms = 0
        self._held_back: list[tuple[Node, bytes]] = []
        self._held_back_bytes = 0

    def hold_back(self, node: Node, packet: bytes) -> bool:
        """Whether it is kept for later: its player is one a relay may yet say it serves there."""
        if self._mux.upward.fence(node, packet) is not None:
            return False
        self._held_back_bytes += len(packet)
        if self._held_back_bytes > HELD_BACK_BYTES_MAX:
            self.end()
            return False
        self._held_back.append((node, packet))
        return True

    def due(self) -> None:
        if not self._since_ms:
            self._since_ms = self._state.now_ms
        if self._state.recovering and self._state.now_ms - self._since_ms >= self._state.rules.recover_ms:
            self.end()

    def end(self) -> None:
        """Who is not claimed by now is nobody's."""
        if not self._state.recovering:
            return
        self._state.recovering = False
        for node in list(self._state.nodes):
            self.sort_out(node)
        self._slot.say_users()
        for player in self._state.players:
            if not player.name:  # whispers and chat go by it; the answer is learned on its way down
                self._state.up(SearchCharName(char_id=player.char_id).pack())
        held_back, self._held_back, self._held_back_bytes = self._held_back, [], 0
        for node, packet in held_back:
            if self._state.is_linked(node):
                self._take(node, packet)

    def sort_out(self, node: Node) -> None:
        """Whom it says it has: back to it where the relay says so too; the others it has to let go."""
        for account_id, char_id in node.claimed:
            player = self._state.players.by_char.get(char_id)
            if player is not None and (player.owner is node or adopt(self._state, player, node)):
                continue
            if not self._state.recovering and (player is not None or not node.is_vps):
                self._state.down(node, DisconnectPlayer(account_id=account_id, reason=KICK_REASON).pack())
