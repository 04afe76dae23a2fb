"""The bridge without its sockets: map-servers, the char-server, relays and the bus in; packets, messages and events out.

A `Core` (libs/hosting/effects.py) to the bus; besides, the shell hands in what char-server, map-servers and relays say, and
after each input takes the effects from `take`. Parts: slot (linking up), upward and downward (what passes between map-servers
and char-server), placing (players), serving (maps), saves (the gate), said (the bus).
"""

from collections.abc import Callable, Iterable, Iterator, Set

from libs.events import Event, Fact, HostId, MapAssign, Reply, Stream
from libs.hosting.effects import Append, Ask, Outcome
from libs.hosting.effects import Effect as BusEffect
from libs.hosting.world import World
from libs.link.messages import (
    Arrived,
    Closed,
    Entered,
    Held,
    Leaving,
    Loaded,
    RelayHello,
    RelaySays,
    ServerLost,
    Walked,
)
from libs.rathena.inter_chars import AuthOk, AuthRequest, DisconnectPlayer, SearchCharName
from libs.rathena.inter_link import RegisterUsers
from libs.rathena.inter_saves import SaveAck, Storage
from libs.rathena.layout import Layout
from libs.rathena.packets import BadPacket
from services.bridge.effects import Effect
from services.bridge.mux import Mux
from services.bridge.nodes import Node
from services.bridge.placing import Placing
from services.bridge.players import Player
from services.bridge.policy import CHECKED
from services.bridge.said import Said
from services.bridge.saves import SaveGate
from services.bridge.serving import Serving
from services.bridge.slot import Slot
from services.bridge.state import Rules, State

KICK_REASON = 2
HELD_BACK_BYTES_MAX = 64 * 1024 * 1024
"""What map-servers say while a starting bridge waits for its relays: 2 s of 30 hosts' autosaves, with room."""
ASKED_MAX = 1_000
LOGIN, MAPS, USERS, ALL_OFFLINE, KEEPALIVE = 0x2AF8, 0x2AFA, 0x2AFF, 0x2B18, 0x2B23
CHANGE, SELECT, AUTH, OFFLINE = 0x2B05, 0x2B02, 0x2B26, 0x2B17


class Bridge:
    """ids: 32 random bits each. known_relays: those this bridge had before it was started again."""

    def __init__(self, rules: Rules, layout: Layout, ids: Callable[[], int], known_relays: Iterable[str] = ()) -> None:
        self.state = State(rules, layout, ids)
        self.said = Said(self.state)
        self.gate = SaveGate(self.state)
        self.placing = Placing(self.state, self.said, self.gate)
        self.serving = Serving(self.state, self.placing, self.said)
        self.slot = Slot(self.state, self.serving.on_ready)
        self._mux = Mux(self.state.nodes, self.state.players, layout)
        self._relays: dict[int, RelayHello] = {}
        self._awaited = set(known_relays)
        self._orphans: dict[str, int] = {}
        self._started_ms = 0
        self._held_back: list[tuple[Node, bytes]] = []
        self._held_back_bytes = 0
        self._following: World | None = None
        self._vps_asks: dict[int, Node] = {}
        self._logged_in: set[int] = set()
        self.on_stepped: Callable[[], None] = lambda: None
        """Called when the bus's shell has stepped the core: there may be effects to take."""

    def take(self) -> list[Effect]:
        """What to do now, in order. Players whose moves ended are told to Serving first."""
        self._settle()
        if not self.gate.bus_up:
            for _ in self.gate.take():  # there is nobody to ask; what may pass without passes
                raise AssertionError("asked without a bus")
            self._on_drained()
        effects, self.state.out = self.state.out, []
        return effects

    def _settle(self) -> None:
        while self.placing.done:
            player = self.placing.done.pop()
            self.serving.on_done(player)
            if self.state.players.by_char.get(player.char_id) is player:
                self.serving.settle(player)
            elif player.char_id not in self.state.players.by_char:
                self._mux.groups.forget(player.char_id)

    # -- the bus: a Core -----------------------------------------------------------------------------------------------

    def on_bus(self, connected: bool, now_ms: int) -> None:
        """The connection to NATS came or went; with it comes everything anew, to a world of its own."""
        self.state.now_ms = now_ms
        self.said.on_bus(connected)
        self.gate.bus_up = connected

    def begin_following(self) -> None:
        """The facts that follow are the whole log; until they are read the last known assignments count."""
        self._following = World()

    def on_fact(self, fact: Fact, now_ms: int) -> None:
        self.state.now_ms = now_ms
        if self._following is not None:
            self._following.apply(fact)
            return
        self.state.world.apply(fact)
        if fact.stream is Stream.ASSIGNMENTS and isinstance(fact.event, MapAssign):
            self.serving.reconsider(fact.event.map.encode())

    def on_caught_up(self, now_ms: int) -> None:
        self.state.now_ms = now_ms
        if self._following is not None:
            self.state.world, self._following = self._following, None
        for name in [*self.state.nodes.maps()]:
            self.serving.reconsider(name)

    def on_heard(self, event: Event, now_ms: int) -> None:
        """Nothing is heard on core subjects."""

    def on_settled(self, write: Append, outcome: Outcome, now_ms: int) -> None:
        """The census makes good what was lost."""

    def on_reply(self, ask: Ask, reply: Reply | None, now_ms: int) -> None:
        self.state.now_ms = now_ms
        self.gate.on_reply(ask, reply)

    def on_lease(self, number: int, now_ms: int) -> None:
        """One bridge runs, by its listening ports."""

    def on_gap(self, now_ms: int) -> None:
        self.on_bus(True, now_ms)

    def step(self, now_ms: int) -> Iterator[BusEffect]:
        self.state.now_ms = now_ms
        yield from self.gate.take()
        self._on_drained()
        yield from self.said.take()
        self.on_stepped()

    def _on_drained(self) -> None:
        while self.gate.drained:
            self.placing.checked(self.gate.drained.pop())

    # -- time ----------------------------------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> None:
        """At least every 50 ms."""
        state = self.state
        state.now_ms = now_ms
        if not self._started_ms:
            self._started_ms = now_ms
        if state.recovering and now_ms - self._started_ms >= state.rules.recover_ms:
            self._end_recovery()
        for player in list(state.busy.values()):
            self.placing.due(player)
        self.serving.due()
        state.out.extend(self._mux.due(now_ms))
        for relay, since_ms in list(self._orphans.items()):
            if now_ms - since_ms > state.rules.hold_ms:
                del self._orphans[relay]
                self._close_all(relay, frozenset())

    def _end_recovery(self) -> None:
        self.state.recovering = False
        for node in list(self.state.nodes):
            self._sort_out(node)
        self.slot.say_users()
        for player in self.state.players:
            if not player.name:  # whispers and chat go by it; the answer is learned on its way down
                self.state.up(SearchCharName(char_id=player.char_id).pack())
        held_back, self._held_back, self._held_back_bytes = self._held_back, [], 0
        for node, packet in held_back:
            if self.state.is_linked(node):
                self._from_node(node, packet)

    # -- the char-server -----------------------------------------------------------------------------------------------

    def char_connected(self, now_ms: int) -> None:
        self.state.now_ms = now_ms
        self.slot.on_connected()

    def char_lost(self, now_ms: int) -> None:
        self.state.now_ms = now_ms
        self.slot.on_lost()
        self._mux.char_server_lost()

    def char_packet(self, packet: bytes, now_ms: int) -> None:
        """
        Raises:
            BadPacket: the char-server is not the stock one.
        """
        self.state.now_ms = now_ms
        handler = _FROM_CHAR.get(packet[0] | packet[1] << 8)
        if handler is None or not handler(self, packet):
            self.state.out.extend(self._mux.downward.take(packet, self.state.now_ms))

    def _login_ack(self, packet: bytes) -> bool:
        self.slot.on_login_ack(packet)
        return True

    def _tables(self, packet: bytes) -> bool:
        self.slot.on_tables(packet)
        return True

    def _maps_ack(self, packet: bytes) -> bool:
        self.slot.on_maps_ack(packet)
        return True

    def _auth_ok(self, packet: bytes) -> bool:
        self._mux.groups.learn(AuthOk.unpack(packet).status)
        return self.placing.on_auth_ok(packet) or self._to_asker(packet)

    def _auth_failed(self, packet: bytes) -> bool:
        return self.placing.on_auth_failed(packet) or self._to_asker(packet)

    def _to_asker(self, packet: bytes) -> bool:
        """Of a character that a VPS's map-server brought in itself, as an automatic trader."""
        account_id = int.from_bytes(packet[4:8] if packet[0] == 0xFD else packet[2:6], "little")
        node = self._vps_asks.pop(account_id, None)
        if node is not None and self.state.is_linked(node):
            self.state.down(node, packet)
        return True

    def _change_ack(self, packet: bytes) -> bool:
        return self.placing.on_change_ack(packet)

    def _save_ack(self, packet: bytes) -> bool:
        player = self.state.players.by_char.get(SaveAck.unpack(packet).char_id)
        if player is None or player.owner is None:
            return False
        self.state.down(player.owner, packet)
        self.placing.on_saved(player)
        return True

    def _storage(self, packet: bytes) -> bool:
        player = self.state.players.by_account.get(Storage.unpack(packet).account_id)
        if player is not None and player.owner is not None and not player.owner.is_vps:
            self.gate.learn_storage(player, packet)
        return False

    def _swallow(self, _packet: bytes) -> bool:
        return True

    # -- map-servers ---------------------------------------------------------------------------------------------------

    def node_linked(
        self, link: int, now_ms: int, *, host: HostId | None = None, map_name: str = "", ip: bytes = bytes(4), port: int = 0
    ) -> None:
        """A connection of a map-server: of the VPS, or of a host for one map, authenticated by the shell."""
        self.state.now_ms = now_ms
        server = f"{host}/{map_name}" if host is not None else f"vps-{link}"
        for old in [node for node in self.state.nodes if host is not None and node.server == server]:
            self.state.cut(old, "the same host linked anew")
            self.node_lost(old.link, now_ms)
        self.state.nodes.add(Node(link, server, host, ip, port))

    def node_lost(self, link: int, now_ms: int) -> None:
        self.state.now_ms = now_ms
        if (node := self.state.nodes.remove(link)) is None:
            return
        self._logged_in.discard(link)
        self.slot.on_node_lost(node)
        self.serving.on_lost(node)
        self.state.out.extend(self._mux.node_lost(node))
        if node.host is not None:
            self.said.link_lost(node.host, link)

    def node_packet(self, link: int, packet: bytes, now_ms: int) -> None:
        """Whatever it is, it harms nobody else: what makes no sense ends this link."""
        self.state.now_ms = now_ms
        if (node := self.state.nodes.get(link)) is None:
            return
        try:
            if link not in self._logged_in and packet[0] | packet[1] << 8 != LOGIN:
                self.state.cut(node, "it did not log in first")
            elif self.state.recovering and self._may_be_of_before(node, packet):
                self._hold_back(node, packet)
            else:
                self._from_node(node, packet)
        except BadPacket as error:
            self.state.cut(node, str(error))

    def _may_be_of_before(self, node: Node, packet: bytes) -> bool:
        """Of a player whom a relay may yet say it serves there."""
        packet_id = packet[0] | packet[1] << 8
        return packet_id not in (LOGIN, MAPS, USERS, KEEPALIVE, AUTH) and self._mux.upward.fence(node, packet) is None

    def _hold_back(self, node: Node, packet: bytes) -> None:
        self._held_back_bytes += len(packet)
        if self._held_back_bytes > HELD_BACK_BYTES_MAX:
            self._end_recovery()
            self._from_node(node, packet)
        else:
            self._held_back.append((node, packet))

    def _from_node(self, node: Node, packet: bytes) -> None:
        packet_id = packet[0] | packet[1] << 8
        if packet_id == LOGIN:
            if self.slot.on_login(node, packet):
                self._logged_in.add(node.link)
        elif packet_id == MAPS:
            self.slot.on_maps(node, packet)
        elif packet_id == USERS:
            node.claimed = frozenset(RegisterUsers.unpack(packet).pairs)
            self._sort_out(node)
        elif packet_id == ALL_OFFLINE:
            self.state.cut(node, "it ends")  # its players are saved; the others of this slot are not offline
        elif packet_id == CHANGE:
            self.placing.on_change_request(node, packet)
        elif packet_id == SELECT:
            self.placing.on_select_request(node, packet)
        elif packet_id == OFFLINE and (player := self._mux.upward.fence(node, packet)) is not None:
            self.placing.given_up(player)
        elif packet_id == AUTH:
            self._auth_request(node, packet)
        elif packet_id in CHECKED:
            self._save(node, packet)
        else:
            self.state.out.extend(self._mux.upward.take(node, packet))

    def _auth_request(self, node: Node, packet: bytes) -> None:
        if self.placing.on_auth_request(node, packet):
            return
        while len(self._vps_asks) >= ASKED_MAX:
            del self._vps_asks[next(iter(self._vps_asks))]
        self._vps_asks[AuthRequest.unpack(packet).account_id] = node
        self.state.up(packet)

    def _save(self, node: Node, packet: bytes) -> None:
        player = self._mux.upward.fence(node, packet)
        if player is not None:
            self.gate.offer(node, player, packet)
        elif node.is_vps and self._mux.upward.is_nobody(packet):
            self.state.up(packet)
        else:
            why = self._mux.upward.standing(node, packet).why
            self.state.report("fenced", node, packet[0] | packet[1] << 8, why)
            self.state.out.extend(self._mux.upward.settle(node, packet))

    def _sort_out(self, node: Node) -> None:
        """Whom it says it has: back to it where the relay says so too; the others it has to let go."""
        for account_id, char_id in node.claimed:
            player = self.state.players.by_char.get(char_id)
            if player is not None and (player.owner is node or self.placing.adopt(player, node)):
                continue
            if not self.state.recovering and (player is not None or not node.is_vps):
                self.state.down(node, DisconnectPlayer(account_id=account_id, reason=KICK_REASON).pack())

    # -- relays --------------------------------------------------------------------------------------------------------

    def relay_linked(self, peer: int, hello: RelayHello, now_ms: int) -> None:
        """A relay connected and stated its table."""
        self.state.now_ms = now_ms
        for old, other in list(self._relays.items()):
            if other.relay == hello.relay:
                del self._relays[old]
        self._relays[peer] = hello
        self._orphans.pop(hello.relay, None)
        for placed in hello.players:
            self.placing.restore(peer, hello.relay, hello.region, placed)
        entering = {player.conn for player in self.state.players if self.placing.is_entering(player)}
        self._close_all(hello.relay, entering | {placed.conn for placed in hello.players})
        self._awaited.discard(hello.relay)
        if self.state.recovering and not self._awaited and self._known_once:
            self._end_recovery()

    @property
    def _known_once(self) -> bool:
        """A bridge that knew its relays need not wait once all have answered."""
        return self._started_ms > 0

    def relays(self) -> list[str]:
        return sorted({hello.relay for hello in self._relays.values()} | set(self._orphans))

    def _close_all(self, relay: str, but: Set[int]) -> None:
        """Players of this relay whose clients it does not have."""
        for player in [player for player in self.state.players if player.relay == relay and player.conn not in but]:
            self.placing.closed(player)

    def relay_lost(self, peer: int, now_ms: int) -> None:
        """Its players play on; it has a while to come back."""
        self.state.now_ms = now_ms
        if (hello := self._relays.pop(peer, None)) is not None:
            self._orphans[hello.relay] = now_ms

    def relay_says(self, peer: int, message: RelaySays, now_ms: int) -> None:
        self.state.now_ms = now_ms
        if (hello := self._relays.get(peer)) is None or isinstance(message, RelayHello):
            return
        if isinstance(message, Arrived):
            self.placing.arrived(peer, hello.relay, hello.region, message)
        elif (player := self.state.players.by_conn.get((peer, message.conn))) is not None:
            self._of_player(player, message)

    def _of_player(self, player: Player, message: RelaySays) -> None:
        placing = self.placing
        if isinstance(message, Entered):
            placing.entered(player, message)
        elif isinstance(message, Loaded):
            placing.loaded(player, message)
        elif isinstance(message, Walked):
            placing.walked(player, message)
        elif isinstance(message, Leaving):
            placing.leaving(player, message)
        elif isinstance(message, ServerLost):
            placing.server_lost(player, message)
        elif isinstance(message, Held):
            placing.held(player, message)
        elif isinstance(message, Closed):
            placing.closed(player)


_FROM_CHAR: dict[int, Callable[[Bridge, bytes], bool]] = {
    0x2AF9: Bridge._login_ack,
    0x388C: Bridge._tables,
    0x2AFB: Bridge._maps_ack,
    AuthOk.packet_id: Bridge._auth_ok,
    0x2B27: Bridge._auth_failed,
    0x2B06: Bridge._change_ack,
    SaveAck.packet_id: Bridge._save_ack,
    Storage.packet_id: Bridge._storage,
    0x2B04: Bridge._swallow,
    0x2B20: Bridge._swallow,
    0x2B24: Bridge._swallow,
}
"""Packet id -> who handles it; what returns False is routed as any other packet."""
