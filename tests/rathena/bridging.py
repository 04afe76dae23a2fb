"""A small world for the bridge's tests: the VPS's core and fallback, two hosts, and the three players of the recordings."""

from collections.abc import Iterable

from libs.events import HostId
from libs.rathena.layout import shipped
from libs.rathena.values import cut
from services.bridge.effects import Down, Effect, Report, Up
from services.bridge.mux import Mux
from services.bridge.nodes import CORE, FALLBACK, Node, Nodes
from services.bridge.players import Player, Players
from tests.rathena import captured

ONE, TWO, THREE = b"LabOne", b"LabTwo", b"LabThree"
ACCOUNT, CHAR = 2_000_000, 150_000


class Lab:
    """LabOne is on the core, LabTwo on `host`, LabThree on `other`."""

    def __init__(self) -> None:
        self.nodes, self.players = Nodes(), Players()
        self.mux = Mux(self.nodes, self.players, shipped())
        self.core = self.link(1, CORE)
        self.fallback = self.link(2, FALLBACK)
        self.host = self.link(3, "h1/prt_fild08", "h1")
        self.other = self.link(4, "h2/prt_fild01", "h2")
        self.one = self.enter(1, ONE, self.core)
        self.two = self.enter(2, TWO, self.host)
        self.three = self.enter(3, THREE, self.other)

    def link(self, number: int, server: str, host: str | None = None) -> Node:
        node = Node(number, server, HostId(host) if host else None, ready=True)
        self.nodes.add(node)
        return node

    def unlink(self, node: Node) -> list[Effect]:
        self.nodes.remove(node.link)
        return list(self.mux.node_lost(node))

    def enter(self, number: int, name: bytes, owner: Node | None) -> Player:
        player = Player(ACCOUNT + number, CHAR + number, conn=number, name=name, owner=owner)
        self.players.add(player)
        self.mux.groups.learn(status_of(number))
        return player

    def up(self, node: Node, packet: bytes) -> list[Effect]:
        return list(self.mux.upward.take(node, packet))

    def down(self, packet: bytes, now_ms: int = 0) -> list[Effect]:
        return list(self.mux.downward.take(packet, now_ms))

    def to(self, packet: bytes, now_ms: int = 0) -> set[str]:
        """The servers that get it."""
        return servers(self, self.down(packet, now_ms))


def servers(lab: Lab, effects: Iterable[Effect]) -> set[str]:
    names = {node.link: node.server for node in lab.nodes}
    return {names[effect.link] for effect in effects if isinstance(effect, Down)}


def ups(effects: Iterable[Effect]) -> list[bytes]:
    return [effect.packet for effect in effects if isinstance(effect, Up)]


def kinds(effects: Iterable[Effect]) -> list[str]:
    return [effect.kind for effect in effects if isinstance(effect, Report)]


def status_of(number: int) -> bytes:
    """mmo_charstatus of a recorded entry; in no group."""
    for recorded in captured.every(0x2AFD, "char>gw"):
        if int.from_bytes(recorded.packet[4:8], "little") == ACCOUNT + number and not any(recorded.packet[125:133]):
            assert cut(recorded.packet[194:218]) in (ONE, TWO, THREE)
            return recorded.packet[25:]
    raise AssertionError(f"no recorded entry of player {number}")
