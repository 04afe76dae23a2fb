"""Characters that a VPS's map-server brings into the game itself, as automatic traders: no relay knows them."""

from libs.rathena.inter_chars import AuthRequest
from services.bridge.nodes import Node
from services.bridge.state import State

ASKED_MAX = 1_000
_AUTH_OK = 0x2AFD


class Strangers:
    """Who asked for whom, so that the answer finds him."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._askers: dict[int, Node] = {}

    def ask(self, node: Node, packet: bytes) -> None:
        """2b26 of a VPS's map-server."""
        while len(self._askers) >= ASKED_MAX:
            del self._askers[next(iter(self._askers))]
        self._askers[AuthRequest.unpack(packet).account_id] = node
        self._state.up(packet)

    def answered(self, packet: bytes) -> bool:
        """2afd or 2b27 that none of our players waits for. Always True: it goes nowhere else."""
        at = 4 if packet[0] | packet[1] << 8 == _AUTH_OK else 2
        node = self._askers.pop(int.from_bytes(packet[at : at + 4], "little"), None)
        if node is not None and self._state.is_linked(node):
            self._state.down(node, packet)
        return True
