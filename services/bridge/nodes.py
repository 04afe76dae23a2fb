"""Map-servers on their links. A node is one incarnation: its link ends, it is gone; who comes back is another (DESIGN D6)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from libs.events import HostId

CORE = "core"
FALLBACK = "fallback"
NOWHERE = bytes(4)
"""The address of a host that takes no connections."""


@dataclass(slots=True, eq=False)
class Node:
    """One map-server link.

    link: the shell's number for the connection; never used twice. server: what relays and logs call it, `core`, `fallback`,
    `vps-<port>` or `<host>/<map>`. host: whose machine; None for the VPS. ip, port: where its players connect to, 4 bytes and
    TCP port; of a host NOWHERE, if its agent has to dial. key: of the agent process whose link it is on. maps: loaded, without
    extension. ready: it was told so (2afb). users: players it counts (2afe). claimed: account and character of those it said
    it has (2aff). turned_away: players in a row who did not get in. doubtful: its link broke and may come back; dropped_ms:
    when a player's connection to it last ended without a word (doubt.py).
    """

    link: int
    server: str
    host: HostId | None
    ip: bytes = NOWHERE
    port: int = 0
    key: str = ""
    maps: frozenset[bytes] = frozenset()
    ready: bool = False
    users: int = 0
    claimed: frozenset[tuple[int, int]] = frozenset()
    turned_away: int = 0
    doubtful: bool = False
    dropped_ms: int | None = None

    @property
    def is_vps(self) -> bool:
        return self.host is None


@dataclass(slots=True)
class Nodes:
    """Those that are linked now, by link, in the order they came."""

    by_link: dict[int, Node] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.by_link.values())

    def get(self, link: int) -> Node | None:
        return self.by_link.get(link)

    def add(self, node: Node) -> None:
        assert node.link not in self.by_link, f"link {node.link} came twice"
        self.by_link[node.link] = node

    def remove(self, link: int) -> Node | None:
        return self.by_link.pop(link, None)

    def ready(self) -> Iterator[Node]:
        return (node for node in self.by_link.values() if node.ready)

    def called(self, server: str) -> Node | None:
        """The newest of this name: an older link of the same server may not have ended yet."""
        return next((node for node in reversed(self.by_link.values()) if node.server == server), None)

    def of_host(self, host: HostId) -> list[Node]:
        return [node for node in self.by_link.values() if node.host == host]

    def on_vps(self, name: bytes) -> Node | None:
        """The VPS's map-server for a map: the fallback before the core before any other; None: none has it and is ready."""
        found = [node for node in self.ready() if node.is_vps and name in node.maps]
        return min(found, key=_rank, default=None)

    def maps(self) -> Iterable[bytes]:
        """Every map that any ready node has loaded, each once, sorted."""
        return sorted({name for node in self.ready() for name in node.maps})


def _rank(node: Node) -> tuple[int, int]:
    return ({FALLBACK: 0, CORE: 1}.get(node.server, 2), -node.link)
