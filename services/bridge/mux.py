"""Many map-servers behind one slot of the char-server: what goes up, what comes down, and what both share.

The core owns one `Mux`; it handles what is its own (`policy.HANDLED`, `policy.CHECKED`, routes with HANDLED), and gives the
rest to `upward.take` and `downward.take`.
"""

from collections.abc import Iterator

from libs.rathena.layout import Layout
from services.bridge.asked import Asked
from services.bridge.chat import Whispers
from services.bridge.downward import Downward
from services.bridge.effects import Effect
from services.bridge.groups import Groups
from services.bridge.nodes import Node, Nodes
from services.bridge.players import Players
from services.bridge.upward import Upward


class Mux:
    """layout: of the servers' build. Tell it of each 2afd (`groups.learn`) and of who left (`groups.forget`)."""

    def __init__(self, nodes: Nodes, players: Players, layout: Layout) -> None:
        self.groups = Groups(players, layout)
        self.asked = Asked()
        self.whispers = Whispers(nodes, players)
        self.upward = Upward(nodes, players, groups=self.groups, asked=self.asked, whispers=self.whispers, layout=layout)
        self.downward = Downward(nodes, players, groups=self.groups, asked=self.asked, whispers=self.whispers)

    def due(self, now_ms: int) -> Iterator[Effect]:
        """Answers that waited long enough."""
        return self.whispers.due(now_ms)

    def node_lost(self, node: Node) -> Iterator[Effect]:
        """After `nodes.remove`."""
        yield from self.whispers.lost(node)
        yield self.upward.users()

    def char_server_lost(self) -> None:
        """What it was asked is never answered, what it asked is of no interest."""
        self.asked.clear()
        self.whispers.clear()
