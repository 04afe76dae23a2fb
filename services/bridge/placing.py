"""Players who come in, and where they are put: the char-server lets them (2b26 -> 2afd), a node is chosen by the map, the relay
is told (docs/adr/0011).

The fence begins here (DESIGN D6): a node owns a player from the 2b26 that carries the ids made for it until he is taken off it.
"""

from libs.link.messages import Arrived, Serve
from libs.rathena.client import Enter
from libs.rathena.inter_chars import AuthFailed, AuthOk, AuthRequest, DisconnectPlayer
from libs.rathena.structs import CHARACTER, BadStruct, integer, last_point, patched
from libs.rathena.values import cut
from services.bridge.ending import LOGGED_IN_ELSEWHERE, NO_ENTRY, Ending
from services.bridge.nodes import NOWHERE, Node
from services.bridge.players import Phase, Player
from services.bridge.saves import SaveGate
from services.bridge.state import State

_GAT = b".gat"


class Placing:
    def __init__(self, state: State, gate: SaveGate, ending: Ending) -> None:
        self._state, self._gate, self._ending = state, gate, ending

    def arrived(self, peer: int, relay: str, region: str, message: Arrived) -> None:
        """Who is in the game already stays until the char-server, which knows a true login, has him sent away (2b1f): what a
        client says of itself is nobody's word yet. The newcomer waits until he is gone."""
        player = Player(
            account_id=message.account_id,
            char_id=message.char_id,
            peer=peer,
            conn=message.conn,
            relay=relay,
            login_id1=message.login_id1,
            sex=message.sex,
            client_ip=message.client_ip,
            region=region,
        )
        players = self._state.players
        old = players.by_account.get(player.account_id) or players.by_char.get(player.char_id)
        if old is None:
            self.begin(player)
            return
        if is_entering(old) and (old.relay, old.conn, old.login_id1) == (relay, player.conn, player.login_id1):
            self._again(old, peer)
            return
        if old.successor is not None:
            self._ending.refuse(old.successor, LOGGED_IN_ELSEWHERE)
        old.successor = player
        if old.saved and old.phase is not Phase.LEAVING:  # his server is done with him
            self._ending.refuse(old, LOGGED_IN_ELSEWHERE)
            self._ending.forget(old)

    def on_disconnect_order(self, packet: bytes) -> bool:
        """2b1f of the char-server: he logged in anew, or is banned. False: the server that has him sends him away."""
        player = self._state.players.by_account.get(DisconnectPlayer.unpack(packet).account_id)
        if player is None or player.phase is Phase.LEAVING or (player.owner is not None and not player.saved):
            return False
        self._ending.refuse(player, LOGGED_IN_ELSEWHERE)
        if player.saved:  # nobody has him any more, whatever the char-server was told of him meanwhile
            self._ending.offline(player)
        self._ending.closed(player)
        return True

    def _again(self, player: Player, peer: int) -> None:
        """His relay lost the bridge while he was let in."""
        players = self._state.players
        players.remove(player)
        player.peer = peer
        players.add(player)
        if player.phase is Phase.PLACING:
            self.place(player)

    def begin(self, player: Player) -> None:
        """He is asked for, now that nobody is in his place."""
        if self._state.players.rivals(player.account_id, player.char_id, (player.peer, player.conn)):
            self._ending.refuse(player, LOGGED_IN_ELSEWHERE)
            return
        self._state.players.add(player)
        self._state.enter_phase(player, Phase.ARRIVING)
        self.authorise(player)

    def authorise(self, player: Player) -> None:
        """2b26 of our own."""
        request = AuthRequest(
            account_id=player.account_id,
            char_id=player.char_id,
            login_id1=player.login_id1,
            sex=player.sex,
            client_ip=player.client_ip,
        )
        self._state.up(request.pack())

    def on_auth_ok(self, packet: bytes) -> bool:
        """2afd. False: nobody here asked for it."""
        auth = AuthOk.unpack(packet)
        player = self._state.players.by_account.get(auth.account_id)
        if player is None or player.phase not in (Phase.ARRIVING, Phase.CHANGING):
            return False
        try:
            self._learn(player, auth)
        except BadStruct:
            self._ending.refuse(player, NO_ENTRY)
            self._ending.forget(player)
            return True
        self.place(player)
        return True

    def _learn(self, player: Player, auth: AuthOk) -> None:
        layout = self._state.layout
        self._state.players.rename(player, cut(auth.char_name(layout)))
        player.base_level, player.job_level, player.zeny = (
            integer(layout, CHARACTER, auth.status, name) for name in ("base_level", "job_level", "zeny")
        )
        point = last_point(layout, auth.status)
        player.keep(point)
        if player.phase is Phase.ARRIVING:
            player.map, player.x, player.y = cut(point.map).removesuffix(_GAT), point.x, point.y
        player.auth = auth
        self._gate.learn_status(player, auth.status)
        player.login_id2, player.group_id = auth.login_id2, auth.group_id

    def on_auth_failed(self, packet: bytes) -> bool:
        """2b27. False: nobody here asked."""
        player = self._state.players.by_account.get(AuthFailed.unpack(packet).account_id)
        if player is None or player.phase not in (Phase.ARRIVING, Phase.CHANGING):
            return False
        self._ending.refuse(player, NO_ENTRY)
        self._ending.forget(player)
        return True

    def place(self, player: Player) -> None:
        """Name a node to the relay; where none can take him he is held until one can."""
        state = self._state
        node = state.server_of(player.map)
        if player.attempts and node is not None and not node.is_vps:
            node = state.nodes.on_vps(player.map) or node
        if node is None or player.auth is None:
            state.enter_phase(player, Phase.HELD)
            return
        resume = player.switch > 0
        player.bound, player.owner, player.expected = node, None, None
        player.saved = player.whole = False
        player.shown = state.ids(), state.ids()
        player.switch += 1
        player.tenure = state.tenure_of(player.map)
        state.enter_phase(player, Phase.PLACING)
        enter = Enter(account_id=player.account_id, char_id=player.char_id, login_id1=player.shown[0], sex=player.sex)
        state.tell(
            player,
            Serve(
                conn=player.conn,
                switch=player.switch,
                server=node.server,
                tenure=player.tenure,
                address="" if node.ip == NOWHERE else ".".join(map(str, node.ip)),
                port=node.port,
                key=node.key,
                enter=enter.pack(),
                login_id1=player.login_id1,
                login_id2=player.login_id2,
                resume=resume,
                map=player.map.decode("ascii", "replace"),
                x=player.x,
                y=player.y,
                base_level=player.base_level if resume else None,
                job_level=player.job_level if resume else None,
                zeny=player.zeny if resume else None,
            ),
        )

    def on_auth_request(self, node: Node, packet: bytes) -> bool:
        """2b26 of a map-server: it gets the player who was placed on it, with the ids made for it, once. False: the VPS asks
        for somebody the bridge does not know."""
        asked = AuthRequest.unpack(packet)
        player = self._state.players.by_char.get(asked.char_id)
        mine = (
            player is not None
            and player.bound is node
            and player.auth is not None
            and player.shown is not None
            and (player.account_id, player.shown[0]) == (asked.account_id, asked.login_id1)
        )
        if not mine or player is None or player.auth is None or player.shown is None:
            if node.is_vps and player is None:
                return False
            self._state.report("forged", node, asked.packet_id, "asks for a player who was not placed on it")
            self._state.down(node, _failed(asked).pack())
            return True
        auth, player.auth = player.auth, None
        player.owner, player.bound = node, None
        shown = AuthOk(
            account_id=auth.account_id,
            login_id1=player.shown[0],
            login_id2=player.shown[1],
            expiration=auth.expiration,
            group_id=auth.group_id if node.is_vps else 0,
            changing_map_servers=auth.changing_map_servers,
            status=self._where_he_is(player, auth.status),
        )
        self._state.down(node, shown.pack())
        return True

    def _where_he_is(self, player: Player, status: bytes) -> bytes:
        """The char-server was told his old place (`Changing`)."""
        if (player.x, player.y) == player.kept:
            return status
        return patched(self._state.layout, CHARACTER, status, {"last_point.x": player.x, "last_point.y": player.y})


def _failed(asked: AuthRequest) -> AuthFailed:
    return AuthFailed(
        account_id=asked.account_id,
        char_id=asked.char_id,
        login_id1=asked.login_id1,
        sex=asked.sex,
        client_ip=asked.client_ip,
    )


def is_entering(player: Player) -> bool:
    """The char-server is asked, or has let him in, and no map-server has him yet. What lets him in serves once, so he must not
    be forgotten because his relay lost the bridge meanwhile: it says again that he arrived."""
    return player.phase is Phase.ARRIVING or (player.auth is not None and player.told_map is None)
