"""A host whose link broke may be dead, or its line may. In: broken links, players whose connection to their server ended. Out:
map-servers cut (docs/adr/0020).

The link alone does not tell: a killed agent and a router that forgot the connection end it alike, so it has a window to come
back. But with a dead host its players' connections end as well, within milliseconds, and their relays say so: link and
one of its players together are its death, at once (DESIGN D7). Where nobody plays nobody waits.
"""

from typing import Final

from services.bridge.nodes import Node
from services.bridge.state import State

WITNESS_MS: Final = 250
"""How long before the link's end a player's counts: relay and link are told by different machines' clocks and queues."""


class Doubt:
    def __init__(self, state: State) -> None:
        self._state = state

    def link(self, link: int, doubtful: bool, now_ms: int) -> None:
        """It broke; or it is there again."""
        self._state.now_ms = now_ms
        if (node := self._state.nodes.get(link)) is None:
            return
        node.doubtful = doubtful
        if doubtful and node.dropped_ms is not None and now_ms - node.dropped_ms <= WITNESS_MS:
            _dead(self._state, node)


def dropped(state: State, node: Node) -> None:
    """A player's connection to this server ended without a word of it."""
    node.dropped_ms = state.now_ms
    if node.doubtful:
        _dead(state, node)


def _dead(state: State, node: Node) -> None:
    """The link is one for all map-servers of a host: what ended it ended them all."""
    assert node.host is not None
    for other in state.nodes.of_host(node.host):
        if other.doubtful:
            state.cut(other, "its link and a player's connection ended together")
