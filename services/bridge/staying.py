"""Players in the game: what their relays say of them, and what time alone makes due."""

from libs.link.messages import Closed, Entered, Held, Leaving, Loaded, RelaySays, ServerLost, Walked
from services.bridge.changing import Changing
from services.bridge.doubt import dropped
from services.bridge.ending import NO_ENTRY, Ending
from services.bridge.players import Phase, Player, is_instance
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


class Staying:
    def __init__(self, state: State, said: Said, gate: SaveGate, ending: Ending, changing: Changing) -> None:
        self._state, self._said, self._gate, self._ending, self._changing = state, said, gate, ending, changing

    def hear(self, player: Player, message: RelaySays) -> None:
        """Of this player, on the connection of his relay."""
        if isinstance(message, Entered):
            self._entered(player, message)
        elif isinstance(message, Loaded):
            self._loaded(player, message)
        elif isinstance(message, Walked):
            self._walked(player, message)
        elif isinstance(message, ServerLost):
            self._server_lost(player, message)
        elif isinstance(message, Held):
            self._held(player, message)
        elif isinstance(message, Closed):
            self._ending.closed(player)
        else:
            assert isinstance(message, Leaving), message  # follows the 2b06 that the bridge has passed on: it knows already

    def _entered(self, player: Player, message: Entered) -> None:
        if message.switch != player.switch or player.phase is not Phase.PLACING:
            return
        if message.ok:
            player.attempts = 0
            if player.owner is not None:
                player.owner.turned_away = 0
                self._state.enter_phase(player, Phase.PLAYING)
        else:
            self._changing.fail(player)

    def _loaded(self, player: Player, message: Loaded) -> None:
        if message.switch == player.switch:
            self._at(player, message)
            self._said.at(player)
            self._state.done.append(player)

    def _walked(self, player: Player, message: Walked) -> None:
        if player.phase in (Phase.PLAYING, Phase.PLACING):
            self._at(player, message)

    def _at(self, player: Player, where: Loaded | Walked | Held | ServerLost) -> None:
        name = where.map.encode("ascii", "replace")
        if is_instance(name) and player.map and not is_instance(player.map):
            player.entrance = (player.map, player.x, player.y)
        player.map, player.x, player.y = name, where.x, where.y

    def _server_lost(self, player: Player, message: ServerLost) -> None:
        """The server closed his connection. If it still lives it saves him; if not, its link ends as well."""
        if message.switch != player.switch or player.phase not in (Phase.PLAYING, Phase.PLACING):
            return
        self._at(player, message)
        if message.code is None and player.owner is not None:
            dropped(self._state, player.owner)
        player.dismissed = message.code if player.owner is not None and player.owner.is_vps else None
        if player.owner is None:
            self._changing.fail(player)
        elif player.saved and player.dismissed is None:
            self._changing.change(player)
        else:
            self._state.enter_phase(player, Phase.HOLDING)

    def _held(self, player: Player, message: Held) -> None:
        """Where his client last was; but who was taken out of an instance does not go back into it. If his server is dead the
        char-server lets him go while it is decided where to."""
        taken_out = is_instance(message.map.encode("ascii", "replace")) and not is_instance(player.map)
        between = player.phase in (Phase.HOLDING, Phase.HELD, Phase.CHANGING)
        if not between or message.switch != player.switch:
            return
        if not taken_out:
            self._at(player, message)
        if player.phase is Phase.HELD and player.auth is None and not self._gate.waits(player):
            self._changing.change(player)

    def due(self, player: Player) -> None:
        """A busy player whose phase lasts too long, or whose map can be served again."""
        state, rules = self._state, self._state.rules
        waited_ms = state.now_ms - player.since_ms
        if self._gate.waits(player) and player.owner is None and waited_ms <= rules.check_ms:
            return  # what his last server said of him passes first, or is refused
        if player.phase is Phase.HELD:
            if state.server_of(player.map) is not None:
                self._changing.go_on(player)
        elif player.expected is not None:
            if waited_ms > (rules.hold_ms if "/" not in player.expected else rules.relink_ms):
                player.expected = None
                self._changing.cut_off(player)
        elif player.phase is Phase.PLACING:
            if waited_ms > ENTER_MS and player.relay not in state.away:  # it may have placed him, and cannot say so
                self._changing.fail(player)
        elif player.phase is Phase.HOLDING and player.dismissed is not None:
            if waited_ms > DISMISSED_MS:
                self._ending.dismiss(player, player.dismissed)
        elif player.phase is Phase.HOLDING:
            if waited_ms > (rules.check_ms if self._gate.waits(player) else rules.migration_timeout_ms):
                self._changing.change(player)
        elif player.deferred:
            if not self._gate.waits(player) or waited_ms > rules.check_ms:
                self._changing.change(player, player.asked, player.asker)
        elif player.phase is Phase.CHANGING:
            if waited_ms > ENTER_MS:
                self._changing.change(player, player.asked, player.asker)
        elif player.phase is Phase.ARRIVING:
            if waited_ms > ARRIVE_MS:
                self._ending.refuse(player, NO_ENTRY)
                self._ending.forget(player)
        elif player.phase is Phase.LEAVING and (waited_ms > LEAVE_MS or (player.saved and not self._gate.waits(player))):
            self._ending.offline(player)
            self._ending.forget(player)
