"""What the parts of the bridge share: who is linked, who plays, who serves what, and the effects of this input."""

from collections.abc import Callable
from dataclasses import dataclass, field

from libs.events import HostId, MapName, NodeName, is_name
from libs.hosting.world import MapState, World
from libs.link.messages import Message
from libs.rathena.layout import Layout
from services.bridge.effects import Cut, Down, Effect, Note, Report, Tell, Up
from services.bridge.nodes import Node, Nodes
from services.bridge.players import Phase, Player, Players

_NAME = NodeName("bridge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings the core needs. front_ip, front_port: the relay's public address, which the char-server tells clients.
    userid, passwd: of the inter-server login. patience_ms: how long "hold" waits for a validator. alerts: refused links are
    told on the bus, by `name`. Times in ms."""

    front_ip: bytes
    front_port: int
    core_address: tuple[bytes, int]
    fallback_address: tuple[bytes, int]
    userid: bytes
    passwd: bytes
    migration_timeout_ms: int = 1_000
    start_timeout_ms: int = 60_000
    relink_ms: int = 12_000
    hold_ms: int = 30_000
    recover_ms: int = 2_000
    silence_ms: int = 5_000
    when_validator_away: str = "hold"
    patience_ms: int = 5_000
    alerts: bool = True
    name: NodeName = _NAME

    @property
    def check_ms(self) -> int:
        """How long a player is kept because his last saves wait for the validator. His server may end while he is, and he
        waits anew: well before his relay gives him up."""
        return self.hold_ms // 3


LEFT_OUT_MS = 60_000
"""For how long a host is left out before it is tried again."""


@dataclass(slots=True)
class State:
    """now_ms: of the input being handled. serving: map -> the node that serves it now; a map that is missing is the VPS's.
    lost: maps whose server is gone -> since when; nobody gets them until it is decided who does, or too late.
    left_out: hosts that get no map for a while, whatever the log says, because their saves cannot be checked or players do not
    get in -> until when.
    spent: map -> the tenure in which it went to the VPS although a host was chosen: that host does not get it again.
    away: relays whose connection is lost and who may come back.
    done: players whose move came to an end, or who may have to move; taken by the core after each input.
    busy: players not simply playing, by character. ids: 32 random bits each."""

    rules: Rules
    layout: Layout
    ids: Callable[[], int]
    nodes: Nodes = field(default_factory=Nodes)
    players: Players = field(default_factory=Players)
    world: World = field(default_factory=World)
    serving: dict[bytes, Node] = field(default_factory=dict)
    lost: dict[bytes, int] = field(default_factory=dict)
    left_out: dict[HostId, int] = field(default_factory=dict)
    spent: dict[bytes, int] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    busy: dict[int, Player] = field(default_factory=dict)
    done: list[Player] = field(default_factory=list)
    recovering: bool = True
    now_ms: int = 0
    out: list[Effect] = field(default_factory=list)

    def up(self, packet: bytes) -> None:
        self.out.append(Up(packet))

    def down(self, node: Node, packet: bytes) -> None:
        self.out.append(Down(node.link, packet))

    def cut(self, node: Node, reason: str, *, orderly: bool = False) -> None:
        self.out.append(Cut(node.link, reason, orderly))

    def tell(self, player: Player, message: Message) -> None:
        self.out.append(Tell(player.peer, message))

    def report(self, kind: str, node: Node, packet_id: int, why: str) -> None:
        self.out.append(Report(kind, node.server, packet_id, why))

    def note(self, text: str) -> None:
        self.out.append(Note(text))

    def enter_phase(self, player: Player, phase: Phase) -> None:
        player.phase, player.since_ms = phase, self.now_ms
        if phase is Phase.PLAYING:
            self.busy.pop(player.char_id, None)
        else:
            self.busy[player.char_id] = player

    def leave_out(self, node: Node, why: str) -> None:
        """Its maps go to the VPS (Serving); what it says of its players counts until they have gone."""
        if node.host is not None and node.host not in self.left_out:
            self.report("left out", node, 0, why)
            self.left_out[node.host] = self.now_ms + LEFT_OUT_MS

    def is_linked(self, node: Node | None) -> bool:
        return node is not None and self.nodes.get(node.link) is node

    def server_of(self, name: bytes) -> Node | None:
        """Who takes a player that goes to this map now; None: nobody can."""
        if name in self.lost:
            return None
        node = self.serving.get(name)
        return node if node is not None and self.is_linked(node) and node.ready else self.nodes.on_vps(name)

    def map_state(self, name: bytes) -> MapState:
        """What the log says of a map; blank where its name can be no subject."""
        return self.world.map(MapName(name.decode("ascii", "replace")))

    def tenure_of(self, name: bytes) -> int:
        return self.map_state(name).tenure


def wire_name(name: bytes) -> MapName | None:
    """A map's name as it stands on the bus; None for one that cannot."""
    text = name.decode("ascii", "replace")
    return MapName(text) if is_name(text) else None
