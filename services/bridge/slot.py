"""The bridge's one slot at the char-server, and how map-servers link up behind it. Source: rAthena ids 2af8-2b24, 388c.

To the char-server the bridge is one map-server at the relay's public address, with the maps of all nodes. To each node it is
the char-server: it welcomes, acknowledges maps, and says that every map the node has not loaded lives at the relay's address.
"""

from collections.abc import Callable

from libs.rathena.inter_link import LoginAck, MapLogin, OtherMaps, RegisterUsers, SendMaps
from libs.rathena.values import cut
from services.bridge.nodes import CORE, FALLBACK, Node
from services.bridge.players import Phase
from services.bridge.state import State

REFUSED = 3
MAPS_PER_PACKET = 2_000
"""16 bytes each; a packet holds 65,535 bytes."""
USERS_PER_PACKET = 8_000
"""8 bytes each."""
HOST_MAPS_MAX = 4
"""A host's map-server has the map it was ordered to have; a few more are a newer bundle's helpers, hundreds are a mistake."""


class Slot:
    """on_ready: called with each node that may serve from now on. up: the char-server has welcomed us."""

    def __init__(self, state: State, on_ready: Callable[[Node], None]) -> None:
        self._state, self._on_ready = state, on_ready
        self.up = False
        self.refused = False
        self._tables: bytes | None = None
        self._ack: bytes | None = None
        self._told: tuple[bytes, ...] = ()
        self._waiting: list[Node] = []

    # -- the char-server --------------------------------------------------------------------------------------------------

    def on_connected(self) -> None:
        rules = self._state.rules
        self.refused = False
        login = MapLogin(userid=rules.userid, passwd=rules.passwd, map_ip=rules.front_ip, map_port=rules.front_port)
        self._state.up(login.pack())

    def on_lost(self) -> None:
        self.up = False
        self._told = ()

    def on_login_ack(self, packet: bytes) -> None:
        """2af9. Refused: wrong userid or passwd, or both of the char-server's slots are taken."""
        if LoginAck.unpack(packet).error:
            self.refused = True
            return
        self.up = True
        self.advertise()
        if not self._state.recovering:
            self.say_users()

    def on_tables(self, packet: bytes) -> None:
        """388c, said once for each login: kept for the nodes that come later."""
        self._tables = packet
        for node in self._state.nodes:
            self._state.down(node, packet)

    def advertise(self) -> None:
        """2afa: the maps of all nodes, whoever owns them; anew when they changed."""
        names = tuple(sorted({name for node in self._state.nodes for name in node.maps}))
        if not self.up or not names or names == self._told:
            return
        self._told = names
        self._state.up(SendMaps.of(names).pack())

    def on_maps_ack(self, packet: bytes) -> None:
        """2afb: those who waited for it are ready; otherwise it answers our own repetition."""
        self._ack = packet
        waiting, self._waiting = self._waiting, []
        for node in waiting:
            if self._state.is_linked(node):
                self._welcome(node)

    def say_users(self) -> None:
        """2aff: everybody who is in the game through us; whoever is not listed counts as lost."""
        if self.up:
            staying = [player for player in self._state.players if player.phase is not Phase.ARRIVING and not player.saved]
            pairs = [(player.account_id, player.char_id) for player in staying]
            self._state.up(RegisterUsers.of(pairs[:USERS_PER_PACKET]).pack())

    # -- nodes ------------------------------------------------------------------------------------------------------------

    def on_login(self, node: Node, packet: bytes) -> bool:
        """2af8 of a map-server. False: refused."""
        rules, login = self._state.rules, MapLogin.unpack(packet)
        if node.is_vps:
            node.ip, node.port = login.map_ip, login.map_port
            node.server = self._vps_name(node)
            if (cut(login.userid), cut(login.passwd)) != (rules.userid, rules.passwd):
                return self._refuse(node, "wrong userid or passwd")
        if (login.map_ip, login.map_port) == (rules.front_ip, rules.front_port):
            return self._refuse(node, "its map_ip and map_port are the relay's own; give it an address of its own")
        self._state.down(node, LoginAck().pack())
        if self._tables is not None:
            self._state.down(node, self._tables)
        return True

    def _vps_name(self, node: Node) -> str:
        rules = self._state.rules
        names = {rules.core_address: CORE, rules.fallback_address: FALLBACK}
        return names.get((node.ip, node.port), f"vps-{node.port}")

    def _refuse(self, node: Node, why: str) -> bool:
        self._state.down(node, LoginAck(error=REFUSED).pack())
        self._state.cut(node, why)
        return False

    def on_maps(self, node: Node, packet: bytes) -> None:
        """2afa of a map-server."""
        names = frozenset(name for name in SendMaps.unpack(packet).names if name)
        if node.host is not None:
            wanted = node.server.partition("/")[2].encode()
            if wanted not in names or len(names) > HOST_MAPS_MAX:
                self._state.cut(node, f"it was ordered to serve {wanted.decode()} and has {len(names)} other maps")
                return
            names = frozenset({wanted})
        before = self._told
        node.maps = names
        self.advertise()
        if self._told is before and self._ack is not None:
            self._welcome(node)
        else:
            self._waiting.append(node)

    def _welcome(self, node: Node) -> None:
        """2afb, then 2b04 for what it has not loaded; and to the others what only it has."""
        state = self._state
        assert self._ack is not None
        state.down(node, self._ack)
        first = not node.ready
        node.ready = True
        everything = {name for other in state.nodes for name in other.maps if other.ready}
        self._tell_maps(node, everything - node.maps)
        for other in state.nodes:
            if other is not node and other.ready:
                self._tell_maps(other, node.maps - other.maps)
        if first:
            self._on_ready(node)

    def _tell_maps(self, node: Node, names: set[bytes] | frozenset[bytes]) -> None:
        rules, listed = self._state.rules, sorted(names)
        for at in range(0, len(listed), MAPS_PER_PACKET):
            part = listed[at : at + MAPS_PER_PACKET]
            self._state.down(node, OtherMaps.of(rules.front_ip, rules.front_port, part).pack())

    def on_node_lost(self, node: Node) -> None:
        if node in self._waiting:
            self._waiting.remove(node)
