"""The bridge without its sockets: map-servers, the char-server, relays and the bus in; packets, messages and events out.

A `Core` (libs/hosting/effects.py) to the bus; besides, the shell hands in what char-server, map-servers and relays say, and
after each input takes the effects from `take`. Parts: slot (linking up), upward and downward (what passes), placing, changing,
staying, ending (players), serving (maps), relays, saves (the gate), said (the bus).
"""

from collections.abc import Callable, Iterable, Iterator

from libs.events import Event, Fact, HostId, MapAssign, Reply, Stream
from libs.hosting.effects import Append, Ask, Outcome
from libs.hosting.effects import Effect as BusEffect
from libs.hosting.world import World
from libs.link.messages import RelayHello, RelaySays
from libs.rathena.inter_link import RegisterUsers
from libs.rathena.layout import Layout
from libs.rathena.packets import BadPacket
from services.bridge.answers import Answers
from services.bridge.changing import Changing
from services.bridge.doubt import Doubt
from services.bridge.effects import Effect
from services.bridge.ending import Ending
from services.bridge.mux import Mux
from services.bridge.nodes import NOWHERE, Node
from services.bridge.placing import Placing
from services.bridge.players import Player
from services.bridge.policy import CHECKED
from services.bridge.pulse import Pulse
from services.bridge.recovery import Recovery
from services.bridge.relays import Relays
from services.bridge.returning import Returning
from services.bridge.said import Said
from services.bridge.saves import SaveGate
from services.bridge.saving import WHOLE, Saving
from services.bridge.serving import Serving
from services.bridge.slot import Slot
from services.bridge.state import Rules, State
from services.bridge.staying import Staying
from services.bridge.strangers import Strangers

LOGIN, MAPS, USERS, ALL_OFFLINE, KEEPALIVE = 0x2AF8, 0x2AFA, 0x2AFF, 0x2B18, 0x2B23
CHANGE, SELECT, AUTH, OFFLINE = 0x2B05, 0x2B02, 0x2B26, 0x2B17
OF_NOBODY = frozenset({LOGIN, MAPS, USERS, KEEPALIVE, AUTH})
"""Of no player this node has."""


class Bridge:
    """ids: 32 random bits each. known_relays: those this bridge had before it was started again."""

    def __init__(self, rules: Rules, layout: Layout, ids: Callable[[], int], known_relays: Iterable[str] = ()) -> None:
        self.state = State(rules, layout, ids)
        self.said = Said(self.state)
        self.gate = SaveGate(self.state)
        self.ending = Ending(self.state, self.said, self.gate)
        self.placing = Placing(self.state, self.gate, self.ending)
        self.changing = Changing(self.state, self.gate, self.ending, self.placing)
        self.staying = Staying(self.state, self.said, self.gate, self.ending, self.changing)
        self.serving = Serving(self.state, self.changing, self.staying, self.said)
        self.slot = Slot(self.state, self.serving.on_ready)
        self.pulse = Pulse(self.state)
        self.doubt = Doubt(self.state)
        self._mux = Mux(self.state.nodes, self.state.players, layout)
        self._saving = Saving(self.state, self._mux, self.gate, self.changing)
        self._recovery = Recovery(self.state, self._mux, self.slot, self._from_node)
        self._relays = Relays(
            self.state,
            self.ending,
            self.placing,
            Returning(self.state, self.said, self.ending, self.placing),
            self.staying,
            known=known_relays,
            on_all_back=self._recovery.end,
        )
        self._following: World | None = None
        self._strangers = Strangers(self.state)
        self._answers = Answers(
            self.state,
            slot=self.slot,
            placing=self.placing,
            changing=self.changing,
            gate=self.gate,
            mux=self._mux,
            strangers=self._strangers,
        )
        self._logged_in: set[int] = set()
        self.on_stepped: Callable[[], None] = lambda: None
        """Called when the bus's shell has stepped the core: there may be effects to take."""

    def take(self) -> list[Effect]:
        """What to do now, in order. Players whose moves ended are told to Serving first."""
        self._settle()
        if not self.gate.bus_up:
            asked = [*self.gate.take()]  # what may pass without passes
            assert not asked, "there is nobody to ask"
            self._on_drained()
        effects, self.state.out = self.state.out, []
        return effects

    def _settle(self) -> None:
        while self.ending.successors:
            self.placing.begin(self.ending.successors.pop())
        while self.state.done:
            player = self.state.done.pop()
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
        """None of their saves waits any more."""
        while self.gate.drained:
            player = self.gate.drained.pop()
            if self.state.busy.get(player.char_id) is player:
                self._due(player)

    def _due(self, player: Player) -> None:
        if not self.serving.in_line(player):
            self.staying.due(player)

    # -- time ----------------------------------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> None:
        """At least every 50 ms."""
        state = self.state
        state.now_ms = now_ms
        self._recovery.due()
        for player in list(state.busy.values()):
            self._due(player)
        self.serving.due()
        self.pulse.due()
        self.gate.read_some()
        state.out.extend(self._mux.due(now_ms))
        self._relays.due()

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
        self.pulse.told(packet)
        if not self._answers.take(packet):
            self.state.out.extend(self._mux.downward.take(packet, self.state.now_ms))

    # -- map-servers ---------------------------------------------------------------------------------------------------

    def node_linked(
        self,
        link: int,
        now_ms: int,
        *,
        host: HostId | None = None,
        map_name: str = "",
        ip: bytes = NOWHERE,
        port: int = 0,
        key: str = "",
    ) -> None:
        """A connection of a map-server: of the VPS, or of a host for one map, authenticated by the shell."""
        self.state.now_ms = now_ms
        server = f"{host}/{map_name}" if host is not None else f"vps-{link}"
        for old in [node for node in self.state.nodes if host is not None and node.server == server]:
            self.state.cut(old, "the same host linked anew")
            self.node_lost(old.link, now_ms)
        self.state.nodes.add(Node(link, server, host, ip, port, key))

    def node_lost(self, link: int, now_ms: int) -> None:
        self.state.now_ms = now_ms
        if (node := self.state.nodes.remove(link)) is None:
            return
        self._logged_in.discard(link)
        self.pulse.lost(node)
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
        self.pulse.heard(node)
        packet_id = packet[0] | packet[1] << 8
        try:
            if link not in self._logged_in and packet_id != LOGIN:
                self.state.cut(node, "it did not log in first")
            elif not (self.state.recovering and packet_id not in OF_NOBODY and self._recovery.hold_back(node, packet)):
                self._from_node(node, packet)
        except BadPacket as error:
            self.state.cut(node, str(error))

    def _from_node(self, node: Node, packet: bytes) -> None:
        packet_id = packet[0] | packet[1] << 8
        if packet_id == LOGIN:
            if self.slot.on_login(node, packet):
                self._logged_in.add(node.link)
        elif packet_id == MAPS:
            self.slot.on_maps(node, packet)
        elif packet_id == USERS:
            node.claimed = frozenset(RegisterUsers.unpack(packet).pairs)
            self._recovery.sort_out(node)
        elif packet_id == ALL_OFFLINE:
            self.state.cut(node, "it ends", orderly=True)  # its players are saved; the others of this slot are not offline
        elif packet_id == CHANGE:
            self.changing.on_change_request(node, packet)
        elif packet_id == SELECT:
            self.changing.on_select_request(node, packet)
        elif packet_id == OFFLINE and (player := self._mux.upward.fence(node, packet)) is not None:
            self.changing.given_up(player)
        elif packet_id == AUTH:
            if not self.placing.on_auth_request(node, packet):
                self._strangers.ask(node, packet)
        elif packet_id in CHECKED:
            self._saving.on_save(node, packet)
        elif packet_id == WHOLE:
            self._saving.on_whole(node, packet)
        else:
            self.state.out.extend(self._mux.upward.take(node, packet))

    # -- relays --------------------------------------------------------------------------------------------------------

    def relay_linked(self, peer: int, hello: RelayHello, now_ms: int) -> None:
        self.state.now_ms = now_ms
        self._relays.linked(peer, hello)

    def relay_lost(self, peer: int, now_ms: int) -> None:
        self.state.now_ms = now_ms
        self._relays.lost(peer)

    def relay_says(self, peer: int, message: RelaySays, now_ms: int) -> None:
        self.state.now_ms = now_ms
        self._relays.says(peer, message)

    def relays(self) -> list[str]:
        """Those it has, and those it waits for."""
        return self._relays.names()
