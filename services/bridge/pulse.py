"""Does a host's map-server still answer? A frozen one keeps its connections: nothing ends, and its players stand still.

A stock map-server answers each 2b00, how many play, with 2b23. A host that says nothing for `Rules.silence_ms` is cut, as if
its link had ended. The VPS's own are not judged: nobody could take over, and their supervisor sees them.
"""

from libs.rathena.inter_link import TotalUsers
from services.bridge.nodes import Node
from services.bridge.state import State

ASK_MS = 500
AWAKE_MS = 250
"""A bridge that was not itself called for so long has not heard anybody."""


class Pulse:
    """deaf: what map-servers say is not read at present."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._heard_ms: dict[int, int] = {}
        self._asked_ms = self._called_ms = 0
        self._users: bytes | None = None
        self.deaf = False

    def heard(self, node: Node) -> None:
        self._heard_ms[node.link] = self._state.now_ms

    def lost(self, node: Node) -> None:
        self._heard_ms.pop(node.link, None)

    def told(self, packet: bytes) -> None:
        """By the char-server: 2b00 has the number to ask with."""
        if packet[0] | packet[1] << 8 == TotalUsers.packet_id:
            self._users = packet

    def due(self) -> None:
        state = self._state
        now_ms, called_ms = state.now_ms, self._called_ms
        self._called_ms = now_ms
        if self.deaf or now_ms - called_ms > AWAKE_MS:
            for link in self._heard_ms:
                self._heard_ms[link] = now_ms
        hosts = [node for node in state.nodes.ready() if not node.is_vps]
        for node in hosts:
            if now_ms - self._heard_ms.setdefault(node.link, now_ms) >= state.rules.silence_ms:
                state.cut(node, f"it has said nothing for {state.rules.silence_ms} ms")
                self.lost(node)
        if now_ms - self._asked_ms >= ASK_MS:
            self._asked_ms = now_ms
            packet = self._users or TotalUsers(users=len(state.players)).pack()
            for node in hosts:
                state.down(node, packet)
