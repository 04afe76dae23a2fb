"""How many connections a relay should keep standing to hosts that may have to take its players over (docs/adr/0025). Pure.

A host stands by for a map if its map-server for it is ready, the assignment names it, and another serves the map: backups,
and whoever gets the map next. In: who is linked, who plays where. Out: `Stand` to each relay that understands it, on change, at
most once in SAY_MS.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from libs.link.messages import STANDING_MAX, STANDING_PER_HOST, RelayHello, Stand, Wished
from services.bridge.effects import Tell
from services.bridge.nodes import NOWHERE, Node
from services.bridge.state import State

SAY_MS: Final = 1_000
FIRST_MS: Final = 10_000
"""A bridge that has just begun knows no hosts yet: it says for so long of none that nothing is wished."""


class Standby:
    def __init__(self, state: State) -> None:
        self._state = state
        self._said: dict[int, Stand | None] = {}
        self._since_ms: dict[int, int] = {}
        self._looked_ms = 0

    def linked(self, peer: int, hello: RelayHello) -> None:
        if hello.stands:
            self._said[peer], self._since_ms[peer] = None, self._state.now_ms

    def lost(self, peer: int) -> None:
        self._said.pop(peer, None)
        self._since_ms.pop(peer, None)

    def due(self) -> None:
        state = self._state
        if not self._said or state.now_ms - self._looked_ms < SAY_MS:
            return
        self._looked_ms = state.now_ms
        nodes = [node for node in state.nodes.ready() if node.key and node.host not in state.left_out]
        playing = Counter((player.peer, player.map) for player in state.players) if nodes else Counter[tuple[int, bytes]]()
        for peer, said in self._said.items():
            wish = Stand(hosts=self._wished(nodes, {name: n for (of, name), n in playing.items() if of == peer}))
            early = said is None and not wish.hosts and state.now_ms - self._since_ms[peer] < FIRST_MS
            if wish != said and not early:
                self._said[peer] = wish
                state.out.append(Tell(peer, wish))

    def _wished(self, nodes: Iterable[Node], playing: dict[bytes, int]) -> list[Wished]:
        """Whoever is next in line has all its players stand by before a second has any."""
        counts: Counter[str] = Counter()
        found: dict[str, tuple[int, str, Node]] = {}
        for node in nodes:
            assert node.host is not None
            for name in node.maps & playing.keys():
                place = self._place(name, node)
                if place is not None:
                    counts[node.host] += playing[name]
                    found[node.host] = min((place, node.host, node), found.get(node.host, (place, node.host, node)), key=_turn)
        left = STANDING_MAX
        wished: list[Wished] = []
        for _, host, node in sorted(found.values(), key=_turn):
            if count := min(counts[host], STANDING_PER_HOST, left):
                left -= count
                address = "" if node.ip == NOWHERE else ".".join(map(str, node.ip))
                wished.append(Wished(host=host, key=node.key, count=count, address=address, port=node.port))
        return wished

    def _place(self, name: bytes, node: Node) -> int | None:
        """In the line for this map, 0: it is to have it now. None: it has, or is not to have it."""
        assign = self._state.map_state(name).assign
        if assign is None or self._state.serving.get(name) is node:
            return None
        line: list[str | None] = [assign.host, *assign.backups]
        return line.index(node.host) if node.host in line else None


def _turn(found: tuple[int, str, Node]) -> tuple[int, str]:
    return found[0], found[1]
