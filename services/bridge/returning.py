"""Players after a restart: of the bridge, or of the relay's connection to it (docs/adr/0013)."""

from libs.link.messages import Hold, Placed
from services.bridge.ending import LOGGED_IN_ELSEWHERE, Ending
from services.bridge.nodes import Node
from services.bridge.placing import Placing
from services.bridge.players import Phase, Player
from services.bridge.said import Said
from services.bridge.state import State


class Returning:
    def __init__(self, state: State, said: Said, ending: Ending, placing: Placing) -> None:
        self._state, self._said, self._ending, self._placing = state, said, ending, placing

    def restore(self, peer: int, relay: str, region: str, placed: Placed) -> None:
        """A player of a relay's table."""
        players = self._state.players
        known: Player | None = None
        for rival in players.rivals(placed.account_id, placed.char_id, (peer, placed.conn)):
            if (rival.account_id, rival.char_id) == (placed.account_id, placed.char_id):
                known = rival
            else:  # somebody of before: one account, one character and one client are one player
                self._ending.refuse(rival, LOGGED_IN_ELSEWHERE)
                self._ending.forget(rival)
        if known is not None:
            self._reattach(known, peer, placed)
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
            fresh=placed.fresh,
        )
        players.add(player)
        self._state.enter_phase(player, Phase.HELD if placed.server is None else Phase.PLACING)
        self._said.counted(player)
        node = self._state.nodes.called(placed.server) if placed.server else None
        if node is not None:
            adopt(self._state, player, node)

    def _reattach(self, player: Player, peer: int, placed: Placed) -> None:
        """The relay lost the bridge and came back; the bridge did not forget. What it was told meanwhile it is told again."""
        players = self._state.players
        players.remove(player)
        player.peer, player.conn = peer, placed.conn
        players.add(player)
        player.switch = max(player.switch, placed.switch)
        if player.phase is Phase.PLACING and player.auth is not None:
            self._placing.place(player)
        elif player.phase in (Phase.HOLDING, Phase.HELD):
            self._state.tell(player, Hold(conn=player.conn))
        elif player.phase is Phase.PLACING and _is_there(player, placed):
            player.attempts = 0
            self._state.enter_phase(player, Phase.PLAYING)
        if player.phase is Phase.PLAYING and player.switch == placed.switch:
            player.map, player.x, player.y = placed.map.encode("ascii", "replace"), placed.x, placed.y
            self._said.at(player)
            self._state.done.append(player)


def _is_there(player: Player, placed: Placed) -> bool:
    """The relay placed him where it was told, while it could not say so."""
    return player.owner is not None and (player.switch, player.owner.server) == (placed.switch, placed.server)


def adopt(state: State, player: Player, node: Node) -> bool:
    """Back to the node that has him, if both say so: the relay that his connection is to it, the node that it has him."""
    if player.owner is not None or player.expected != node.server:
        return False
    if (player.account_id, player.char_id) not in node.claimed:
        return False
    player.owner, player.expected = node, None
    state.enter_phase(player, Phase.PLAYING)
    state.done.append(player)  # his map may be another's by now, or he has to enter anew
    return True
