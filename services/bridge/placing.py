"""Where each player is, from his client's first packet to his final save. One mechanism for login, portal, move and death:
the char-server lets him (2b26, or 2b05 and 2b26), a node is chosen by the map, the relay serves him there (docs/adr/0011).

The fence is here too (DESIGN D6): a node owns a player from the 2b26 that carries the ids made for it until he is taken off it.
"""

from libs.link.messages import Arrived, Entered, Held, Hold, Leaving, Loaded, Placed, Refuse, Serve, ServerLost, Walked
from libs.rathena.client import Enter
from libs.rathena.inter_chars import (
    AuthFailed,
    AuthOk,
    AuthRequest,
    ChangeMapServer,
    ChangeMapServerAck,
    CharOffline,
    CharSelectRequest,
)
from libs.rathena.structs import CHARACTER, BadStruct, integer, last_point
from libs.rathena.values import cut
from services.bridge.nodes import Node
from services.bridge.players import Phase, Player
from services.bridge.said import Said
from services.bridge.saves import SaveGate
from services.bridge.state import State

ARRIVE_MS = 10_000
"""The char-server answers within milliseconds; beyond this it is gone."""
ENTER_MS = 2_000
"""A map-server takes a player in within milliseconds of its connection; the relay gives up after 1 s itself."""
LEAVE_MS = 60_000
"""A map-server repeats a final save after 60 s; who is not saved by then is lost to us."""
DISMISSED_MS = 2_000
"""A map-server that ends says 0081 to all, saves them, clears its maps and says 2b18. If it has not by then, it meant him."""
ATTEMPTS_MAX = 5
NO_ENTRY, LOGGED_IN_ELSEWHERE = 0, 2
"""Codes of 0081."""
_GAT = b".gat"


class Placing:
    def __init__(self, state: State, said: Said, gate: SaveGate) -> None:
        self._state, self._said, self._gate = state, said, gate
        self.done: list[Player] = []
        """Players whose move came to an end, one way or another; taken by Serving."""

    # -- arriving ------------------------------------------------------------------------------------------------------

    def arrived(self, peer: int, relay: str, region: str, message: Arrived) -> None:
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
            self._begin(player)
            return
        if self.is_entering(old) and (old.relay, old.conn, old.login_id1) == (relay, player.conn, player.login_id1):
            self._again(old, peer)
            return
        if old.successor is not None:
            self._refuse(old.successor, LOGGED_IN_ELSEWHERE)
        old.successor = player
        if old.phase is Phase.LEAVING:
            return
        self._refuse(old, LOGGED_IN_ELSEWHERE)
        if old.owner is None or old.saved:
            self.forget(old)
        else:
            self._leave(old)

    def is_entering(self, player: Player) -> bool:
        """The char-server is asked, or has let him in, and no map-server has him yet. What lets him in serves once, so he must
        not be forgotten because his relay lost the bridge meanwhile: it says again that he arrived."""
        return player.phase is Phase.ARRIVING or (player.auth is not None and player.told_map is None)

    def _again(self, player: Player, peer: int) -> None:
        players = self._state.players
        players.remove(player)
        player.peer = peer
        players.add(player)
        if player.phase is Phase.PLACING:
            self.place(player)

    def _begin(self, player: Player) -> None:
        self._state.players.add(player)
        self._state.enter_phase(player, Phase.ARRIVING)
        self._authorise(player)

    def _authorise(self, player: Player) -> None:
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
            self._refuse(player, NO_ENTRY)
            self.forget(player)
            return True
        self.place(player)
        return True

    def _learn(self, player: Player, auth: AuthOk) -> None:
        layout = self._state.layout
        self._state.players.rename(player, cut(auth.char_name(layout)))
        player.base_level, player.job_level, player.zeny = (
            integer(layout, CHARACTER, auth.status, name) for name in ("base_level", "job_level", "zeny")
        )
        if player.phase is Phase.ARRIVING:
            point = last_point(layout, auth.status)
            player.map, player.x, player.y = cut(point.map).removesuffix(_GAT), point.x, point.y
        player.auth = auth
        self._gate.learn_status(player, auth.status)
        player.login_id2, player.group_id = auth.login_id2, auth.group_id

    def on_auth_failed(self, packet: bytes) -> bool:
        """2b27. False: nobody here asked."""
        player = self._state.players.by_account.get(AuthFailed.unpack(packet).account_id)
        if player is None or player.phase not in (Phase.ARRIVING, Phase.CHANGING):
            return False
        self._refuse(player, NO_ENTRY)
        self.forget(player)
        return True

    # -- placing -------------------------------------------------------------------------------------------------------

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
        player.bound, player.owner, player.expected, player.saved = node, None, None, False
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
                address=".".join(map(str, node.ip)),
                port=node.port,
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
            status=auth.status,
        )
        self._state.down(node, shown.pack())
        return True

    def entered(self, player: Player, message: Entered) -> None:
        if message.switch != player.switch or player.phase is not Phase.PLACING:
            return
        if message.ok:
            player.attempts = 0
            if player.owner is not None:  # else that server's link has ended meanwhile, and he is expected back
                self._state.enter_phase(player, Phase.PLAYING)
        else:
            self._fail(player)

    def _fail(self, player: Player) -> None:
        """A placement came to nothing: somewhere else, with a new permission where the old one is spent."""
        player.attempts += 1
        player.owner = player.bound = None
        if player.attempts > ATTEMPTS_MAX:
            self._refuse(player, NO_ENTRY)
            self.forget(player)
        elif player.auth is not None:
            self.place(player)
        else:
            self.change(player)

    # -- changing servers ----------------------------------------------------------------------------------------------

    def change(self, player: Player, asked: ChangeMapServer | None = None, asker: Node | None = None) -> None:
        """Ask the char-server to let him go on at his map on another server. asked: by this node, for another map."""
        state = self._state
        if player.owner is not asker:
            player.owner = None
        player.bound = player.auth = None
        if asked is None:
            self._dismiss_asker(player)
        player.asked, player.asker = asked, asker
        state.enter_phase(player, Phase.CHANGING)
        player.postponed = asked is not None and self._gate.waits(player)
        if not player.postponed:
            self._request_change(player)

    def _request_change(self, player: Player) -> None:
        """2b05. The char-server reads the character at once, so what he was saved with before has to be there by then."""
        rules, asked = self._state.rules, player.asked
        request = ChangeMapServer(
            account_id=player.account_id,
            char_id=player.char_id,
            login_id1=player.login_id1,
            login_id2=player.login_id2,
            map=asked.map if asked else player.map,
            x=asked.x if asked else player.x,
            y=asked.y if asked else player.y,
            dest_ip=rules.front_ip,
            dest_port=rules.front_port,
            sex=player.sex,
            client_ip=player.client_ip,
            group_id=player.group_id,
        )
        self._state.up(request.pack())

    def _dismiss_asker(self, player: Player) -> None:
        """Whoever waits for a 2b06 about him waits no more: he is somewhere else, or nowhere. A map-server that is never
        answered keeps him for ever, and lets nobody of this account in again."""
        asked, asker, player.asked, player.asker = player.asked, player.asker, None, None
        if asked is not None and asker is not None and self._state.is_linked(asker):
            self._state.down(asker, (_unchanged if player.owner is asker else _changed)(asked).pack())

    def on_change_request(self, node: Node, packet: bytes) -> None:
        """2b05 of a map-server: its player steps into a map it has not loaded."""
        asked = ChangeMapServer.unpack(packet)
        player = self._state.players.by_char.get(asked.char_id)
        if player is not None and player.expected == node.server:  # it repeats what the bridge before this one has not answered
            node.claimed |= {(asked.account_id, asked.char_id)}
            self.adopt(player, node)
        if player is None or player.owner is not node or player.account_id != asked.account_id:
            self._state.report("fenced", node, asked.packet_id, "moves a player it does not serve")
            self._state.down(node, _unchanged(asked).pack())
        elif player.shown and (asked.login_id1, asked.login_id2) != player.shown:
            self._state.report("forged", node, asked.packet_id, "wrong session ids")
            self._state.down(node, _unchanged(asked).pack())
        else:
            self.change(player, asked, node)

    def on_change_ack(self, packet: bytes) -> bool:
        """2b06. False: nobody here asked."""
        ack = ChangeMapServerAck.unpack(packet)
        player = self._state.players.by_char.get(ack.char_id)
        if player is None or player.phase is not Phase.CHANGING:
            return False
        asked, asker = player.asked, player.asker
        player.asked = player.asker = None
        if asked is not None and asker is not None and self._state.is_linked(asker):
            self._state.down(asker, (_changed(asked) if ack.accepted else _unchanged(asked)).pack())
        if not ack.accepted:
            self._not_changed(player, asker)
            return True
        if asked is not None:
            player.map, player.x, player.y = cut(asked.map).removesuffix(_GAT), asked.x, asked.y
        player.owner = None
        self._gate.forget(player)
        self._authorise(player)
        return True

    def _not_changed(self, player: Player, asker: Node | None) -> None:
        if asker is not None and player.owner is asker:
            self._state.enter_phase(player, Phase.PLAYING)
        else:
            self._refuse(player, NO_ENTRY)
            self.forget(player)

    # -- taking off ----------------------------------------------------------------------------------------------------

    def take_off(self, player: Player) -> None:
        """Orderly: the relay ends his connection to the server, the server saves, then he goes on elsewhere."""
        self._state.enter_phase(player, Phase.HOLDING)
        player.saved, player.dismissed = False, None
        self._state.tell(player, Hold(conn=player.conn))

    def cut_off(self, player: Player) -> None:
        """His server is gone: what it says of him counts no more. He goes on elsewhere when `change` is called."""
        player.owner = player.bound = player.dismissed = None
        if player.phase is Phase.LEAVING:
            self._offline(player)
            self.forget(player)
            return
        self._state.enter_phase(player, Phase.HELD)
        self._state.tell(player, Hold(conn=player.conn))

    def on_saved(self, player: Player) -> None:
        """2b21: his final save is kept."""
        if player.phase is Phase.LEAVING:
            self.forget(player)
        elif player.phase is Phase.HOLDING and player.dismissed is None:
            self.change(player)
        else:
            player.saved = True

    def _dismiss(self, player: Player, code: int) -> None:
        self._refuse(player, code)
        if player.saved:
            self.forget(player)
        else:
            player.dismissed = None
            self._leave(player)

    def given_up(self, player: Player) -> None:
        """2b17 of his server: it has let him go, and saves him no more."""
        self._offline(player)
        self.on_saved(player)

    def on_select_request(self, node: Node, packet: bytes) -> None:
        """2b02: back to the choice of characters; the char-server needs the real ids."""
        asked = CharSelectRequest.unpack(packet)
        player = self._state.players.by_account.get(asked.account_id)
        if player is None or player.owner is not node:
            self._state.report("fenced", node, asked.packet_id, "a player it does not serve")
            return
        real = CharSelectRequest(
            account_id=asked.account_id, login_id1=player.login_id1, login_id2=player.login_id2, client_ip=player.client_ip
        )
        self._state.up(real.pack())

    # -- what relays say -----------------------------------------------------------------------------------------------

    def loaded(self, player: Player, message: Loaded) -> None:
        if message.switch == player.switch:
            self._at(player, message)
            self._said.at(player)
            self.done.append(player)

    def walked(self, player: Player, message: Walked) -> None:
        if player.phase in (Phase.PLAYING, Phase.PLACING):
            self._at(player, message)

    def _at(self, player: Player, where: Loaded | Walked | Held | ServerLost) -> None:
        name = where.map.encode("ascii", "replace")
        if b"@" in name and b"@" not in player.map and player.map:
            player.entrance = (player.map, player.x, player.y)
        player.map, player.x, player.y = name, where.x, where.y

    def leaving(self, player: Player, message: Leaving) -> None:
        """0ac7, which follows the 2b06 the bridge has passed on: it knows already."""

    def server_lost(self, player: Player, message: ServerLost) -> None:
        """The server closed his connection. If it still lives it saves him; if not, its link ends as well."""
        if message.switch != player.switch or player.phase not in (Phase.PLAYING, Phase.PLACING):
            return
        self._at(player, message)
        player.dismissed = message.code if player.owner is not None and player.owner.is_vps else None
        if player.owner is None:
            self._fail(player)
        elif player.saved and player.dismissed is None:
            self.change(player)
        else:
            self._state.enter_phase(player, Phase.HOLDING)

    def held(self, player: Player, message: Held) -> None:
        if player.phase in (Phase.HOLDING, Phase.HELD, Phase.CHANGING) and message.switch == player.switch:
            self._at(player, message)

    def closed(self, player: Player) -> None:
        """His client is gone."""
        if player.owner is not None and not player.saved:
            self._leave(player)
        else:
            if player.owner is None and player.phase is not Phase.ARRIVING:
                self._offline(player)
            self.forget(player)

    def _leave(self, player: Player) -> None:
        self._said.gone(player)
        self.done.append(player)
        self._state.enter_phase(player, Phase.LEAVING)
        self._dismiss_asker(player)

    def forget(self, player: Player) -> None:
        self._said.gone(player)
        self.done.append(player)
        self._state.players.remove(player)
        self._gate.forget(player)
        self._state.busy.pop(player.char_id, None)
        if player.successor is not None:
            self._begin(player.successor)

    def _offline(self, player: Player) -> None:
        self._state.up(CharOffline(account_id=player.account_id, char_id=player.char_id).pack())

    def _refuse(self, player: Player, code: int) -> None:
        self._state.tell(player, Refuse(conn=player.conn, code=code))

    # -- after a restart -----------------------------------------------------------------------------------------------

    def restore(self, peer: int, relay: str, region: str, placed: Placed) -> None:
        """A player of a relay's table."""
        players = self._state.players
        if (known := players.by_conn.get((peer, placed.conn))) is not None or placed.char_id in players.by_char:
            self._reattach(known or players.by_char[placed.char_id], peer, placed)
            return
        player = Player(
            account_id=placed.account_id,
            char_id=placed.char_id,
            peer=peer,
            conn=placed.conn,
            relay=relay,
            switch=placed.switch,
            login_id1=placed.login_id1,
            login_id2=placed.login_id2,
            region=region,
            expected=placed.server,
            tenure=placed.tenure,
            map=placed.map.encode("ascii", "replace"),
            x=placed.x,
            y=placed.y,
        )
        players.add(player)
        self._state.enter_phase(player, Phase.HELD if placed.server is None else Phase.PLACING)
        self._said.counted(player)
        node = self._state.nodes.called(placed.server) if placed.server else None
        if node is not None:
            self.adopt(player, node)

    def _reattach(self, player: Player, peer: int, placed: Placed) -> None:
        """The relay lost the bridge and came back; the bridge did not forget. What it was told meanwhile it is told again."""
        players = self._state.players
        players.remove(player)
        player.peer, player.conn = peer, placed.conn
        players.add(player)
        player.switch = max(player.switch, placed.switch)
        if player.phase is Phase.PLACING and player.auth is not None:
            self.place(player)
        elif player.phase in (Phase.HOLDING, Phase.HELD):
            self._state.tell(player, Hold(conn=player.conn))
        elif player.phase is Phase.PLAYING and player.switch == placed.switch:
            player.map, player.x, player.y = placed.map.encode("ascii", "replace"), placed.x, placed.y
            self._said.at(player)
            self.done.append(player)

    def adopt(self, player: Player, node: Node) -> bool:
        """Back to the node that has him, if both say so: the relay that his connection is to it, the node that it has him."""
        if player.owner is not None or player.expected != node.server:
            return False
        if (player.account_id, player.char_id) not in node.claimed:
            return False
        player.owner, player.expected = node, None
        self._state.enter_phase(player, Phase.PLAYING)
        self.done.append(player)  # his map may be another's by now
        return True

    # -- time ----------------------------------------------------------------------------------------------------------

    def due(self, player: Player) -> None:
        """A busy player whose phase lasts too long, or whose map can be served again."""
        state, rules = self._state, self._state.rules
        waited_ms = state.now_ms - player.since_ms
        if self._gate.waits(player) and player.owner is None and waited_ms <= rules.check_ms:
            return  # what his last server said of him passes first, or is refused
        if player.phase is Phase.HELD:
            if state.server_of(player.map) is not None:
                self._go_on(player)
        elif player.expected is not None:
            if waited_ms > (rules.hold_ms if "/" not in player.expected else rules.relink_ms):
                player.expected = None
                self.cut_off(player)
        elif player.phase is Phase.PLACING:
            if waited_ms > ENTER_MS:
                self._fail(player)
        elif player.phase is Phase.HOLDING and player.dismissed is not None:
            if waited_ms > DISMISSED_MS:
                self._dismiss(player, player.dismissed)
        elif player.phase is Phase.HOLDING:
            if waited_ms > (rules.check_ms if self._gate.waits(player) else rules.migration_timeout_ms):
                self.change(player)
        elif player.phase is Phase.CHANGING and player.postponed:
            if not self._gate.waits(player) or waited_ms > rules.check_ms:
                player.postponed = False
                state.enter_phase(player, Phase.CHANGING)
                self._request_change(player)
        elif player.phase is Phase.CHANGING:
            if waited_ms > ENTER_MS:
                self.change(player, player.asked, player.asker)
        elif player.phase is Phase.ARRIVING:
            if waited_ms > ARRIVE_MS:
                self._refuse(player, NO_ENTRY)
                self.forget(player)
        elif player.phase is Phase.LEAVING and waited_ms > LEAVE_MS:
            self._offline(player)
            self.forget(player)

    def checked(self, player: Player) -> None:
        """None of his saves waits any more."""
        if self._state.busy.get(player.char_id) is player:
            self.due(player)

    def _go_on(self, player: Player) -> None:
        if player.auth is not None:
            self.place(player)
        else:
            self.change(player)


def _failed(asked: AuthRequest) -> AuthFailed:
    return AuthFailed(
        account_id=asked.account_id,
        char_id=asked.char_id,
        login_id1=asked.login_id1,
        sex=asked.sex,
        client_ip=asked.client_ip,
    )


def _changed(asked: ChangeMapServer) -> ChangeMapServerAck:
    """To the server that asked, in its own words: the ids made for it and the address it was told."""
    return ChangeMapServerAck(
        account_id=asked.account_id,
        char_id=asked.char_id,
        login_id1=asked.login_id1,
        login_id2=asked.login_id2,
        map=asked.map,
        x=asked.x,
        y=asked.y,
        dest_ip=asked.dest_ip,
        dest_port=asked.dest_port,
    )


def _unchanged(asked: ChangeMapServer) -> ChangeMapServerAck:
    """Refused."""
    return ChangeMapServerAck(
        account_id=asked.account_id,
        char_id=asked.char_id,
        login_id1=0,
        login_id2=asked.login_id2,
        map=asked.map,
        x=asked.x,
        y=asked.y,
        dest_ip=asked.dest_ip,
        dest_port=asked.dest_port,
    )
