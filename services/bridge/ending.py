"""How a player's stay ends: told off, gone, forgotten. Used by every other part that handles players."""

from libs.link.messages import Refuse
from libs.rathena.inter_chars import CharOffline
from services.bridge.players import Phase, Player
from services.bridge.portal import let_go
from services.bridge.said import Said
from services.bridge.saves import SaveGate
from services.bridge.state import State

NO_ENTRY, LOGGED_IN_ELSEWHERE = 0, 2
"""Codes of 0081."""


class Ending:
    """successors: who waited for somebody that is gone now; taken by the core after each input."""

    def __init__(self, state: State, said: Said, gate: SaveGate) -> None:
        self._state, self._said, self._gate = state, said, gate
        self.successors: list[Player] = []

    def refuse(self, player: Player, code: int) -> None:
        """His client is told so, and closed."""
        self._state.tell(player, Refuse(conn=player.conn, code=code))

    def offline(self, player: Player) -> None:
        """The char-server is told; nobody will save him any more."""
        self._state.up(CharOffline(account_id=player.account_id, char_id=player.char_id).pack())

    def leave(self, player: Player) -> None:
        """His client is gone; his final save is awaited."""
        self._said.gone(player)
        self._state.done.append(player)
        player.saved, player.deferred = player.phase is Phase.CHANGING, False  # who steps into a portal was saved before
        self._state.enter_phase(player, Phase.LEAVING)
        let_go(self._state, player)

    def forget(self, player: Player) -> None:
        """He is out of the game."""
        self._said.gone(player)
        self._state.done.append(player)
        let_go(self._state, player)
        self._state.players.remove(player)
        self._gate.forget(player)
        self._state.busy.pop(player.char_id, None)
        if player.successor is not None:
            self.successors.append(player.successor)

    def dismiss(self, player: Player, code: int) -> None:
        """His server meant him, when it told him to go."""
        self.refuse(player, code)
        if player.saved:
            self.forget(player)
        else:
            player.dismissed = None
            self.leave(player)

    def closed(self, player: Player) -> None:
        """His client is gone."""
        if player.owner is not None and not player.saved:
            self.leave(player)
        else:
            if player.owner is None and player.phase is not Phase.ARRIVING:
                self.offline(player)
            self.forget(player)
