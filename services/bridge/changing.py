"""Players who change servers: through a portal, because their map moves, because their server died. The char-server lets them
(2b05 -> 2b06), then they are placed anew.

In order the server they leave saves them first; where it is gone its last word counts no more (DESIGN D6).
"""

from libs.link.messages import Hold
from libs.rathena.inter_chars import ChangeMapServer, ChangeMapServerAck, CharSelectRequest
from libs.rathena.values import cut
from services.bridge.ending import NO_ENTRY, Ending
from services.bridge.nodes import Node
from services.bridge.placing import Placing
from services.bridge.players import Phase, Player
from services.bridge.portal import changed, let_go, unchanged
from services.bridge.returning import adopt
from services.bridge.saves import SaveGate
from services.bridge.state import State

ATTEMPTS_MAX = 5
TURNED_AWAY_MAX = 3
"""Players in a row whom a host does not take in: its map is nobody's if it stays there."""
_GAT = b".gat"


class Changing:
    def __init__(self, state: State, gate: SaveGate, ending: Ending, placing: Placing) -> None:
        self._state, self._gate, self._ending, self._placing = state, gate, ending, placing

    def change(self, player: Player, asked: ChangeMapServer | None = None, asker: Node | None = None) -> None:
        """Ask the char-server to let him go on at his map on another server. asked: by this node, for another map."""
        state = self._state
        if asked is None:
            player.leave_instance()
        if player.owner is not asker:
            player.owner = None
        if asked is None:
            let_go(state, player)
        player.bound = player.auth = None
        player.asked, player.asker, player.deferred = asked, asker, False
        state.enter_phase(player, Phase.CHANGING)
        x, y = _not_yet(player, asked)
        request = ChangeMapServer(
            account_id=player.account_id,
            char_id=player.char_id,
            login_id1=player.login_id1,
            login_id2=player.login_id2,
            map=asked.map if asked else player.map,
            x=x,
            y=y,
            dest_ip=state.rules.front_ip,
            dest_port=state.rules.front_port,
            sex=player.sex,
            client_ip=player.client_ip,
            group_id=player.group_id,
        )
        state.up(request.pack())

    def on_change_request(self, node: Node, packet: bytes) -> None:
        """2b05 of a map-server: its player steps into a map it has not loaded."""
        asked = ChangeMapServer.unpack(packet)
        player = self._state.players.by_char.get(asked.char_id)
        if player is not None and player.expected == node.server:  # it repeats what the bridge before this one has not answered
            node.claimed |= {(asked.account_id, asked.char_id)}
            adopt(self._state, player, node)
        if player is None or player.owner is not node or player.account_id != asked.account_id:
            self._state.report("fenced", node, asked.packet_id, "moves a player it does not serve")
            # Refused, a map-server drops its client, who may be ours still: his relay holds him when he is sent on.
            self._state.down(node, (unchanged if player is None else changed)(asked).pack())
        elif player.shown and (asked.login_id1, asked.login_id2) != player.shown:
            self._state.report("forged", node, asked.packet_id, "wrong session ids")
            self._state.down(node, unchanged(asked).pack())
        elif self._gate.waits(player):  # the saves the server made before it asked: the char-server goes by the last it has
            player.asked, player.asker, player.deferred = asked, node, True
            self._state.enter_phase(player, Phase.CHANGING)
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
            self._state.down(asker, (changed(asked) if ack.accepted else unchanged(asked)).pack())
        if not ack.accepted:
            self._not_changed(player, asker)
            return True
        if asked is not None:
            player.map, player.x, player.y = cut(asked.map).removesuffix(_GAT), asked.x, asked.y
        player.owner = None
        self._gate.forget(player)
        self._placing.authorise(player)
        return True

    def _not_changed(self, player: Player, asker: Node | None) -> None:
        if asker is not None and player.owner is asker:
            self._state.enter_phase(player, Phase.PLAYING)
        else:
            self._ending.refuse(player, NO_ENTRY)
            self._ending.forget(player)

    def fail(self, player: Player) -> None:
        """A placement came to nothing: somewhere else, with a new permission where the old one is spent."""
        player.attempts += 1
        node = player.owner or player.bound
        player.owner = player.bound = None
        if node is not None:
            node.turned_away += 1
            if node.turned_away >= TURNED_AWAY_MAX:
                self._state.leave_out(node, f"{node.turned_away} players in a row did not get in")
        if player.attempts > ATTEMPTS_MAX:
            self._ending.refuse(player, NO_ENTRY)
            self._ending.forget(player)
        elif player.auth is not None:
            self._placing.place(player)
        else:
            self.change(player)

    def go_on(self, player: Player) -> None:
        """His map has a server again."""
        if player.auth is not None:
            self._placing.place(player)
        else:
            self.change(player)

    def take_off(self, player: Player) -> None:
        """Orderly: the relay ends his connection to the server, the server saves, then he goes on elsewhere."""
        self._state.enter_phase(player, Phase.HOLDING)
        player.saved, player.dismissed = False, None
        self._state.tell(player, Hold(conn=player.conn))

    def cut_off(self, player: Player) -> None:
        """His server is gone: what it says of him counts no more. He goes on elsewhere when `change` is called."""
        player.owner = player.bound = player.dismissed = player.asked = player.asker = None
        player.deferred = False
        if player.phase is Phase.LEAVING:
            self._ending.offline(player)
            self._ending.forget(player)
            return
        player.leave_instance()
        self._state.enter_phase(player, Phase.HELD)
        self._state.tell(player, Hold(conn=player.conn))

    def on_saved(self, player: Player) -> None:
        """2b21: his final save is kept."""
        if player.phase is Phase.LEAVING:
            self._ending.forget(player)
        elif player.phase is Phase.HOLDING and player.dismissed is None:
            self.change(player)
        else:
            player.saved = True

    def given_up(self, player: Player) -> None:
        """2b17 of his server: it has let him go, and saves him no more."""
        self._ending.offline(player)
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


def _not_yet(player: Player, asked: ChangeMapServer | None) -> tuple[int, int]:
    """What 2b05 says the char-server keeps in mind and does not write; nor does it write a save that says the same again. So
    it is told the place it has, the next server where he really is (`Placing`), and that server's first save makes it true."""
    x, y = player.kept or (player.x, player.y)
    return (x ^ 1, y) if asked is not None and (x, y) == (asked.x, asked.y) else (x, y)
