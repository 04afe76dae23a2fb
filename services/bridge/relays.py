"""Relays: their connections, their tables, and players of relays that do not come back."""

from collections.abc import Callable, Iterable, Set

from libs.link.messages import Arrived, RelayHello, RelaySays
from services.bridge.ending import Ending
from services.bridge.placing import Placing, is_entering
from services.bridge.returning import Returning
from services.bridge.standby import Standby
from services.bridge.state import State
from services.bridge.staying import Staying


class Relays:
    """known: those this bridge had before it was started again. on_all_back: each of them has stated its table."""

    def __init__(
        self,
        state: State,
        ending: Ending,
        placing: Placing,
        returning: Returning,
        staying: Staying,
        *,
        known: Iterable[str],
        on_all_back: Callable[[], None],
    ) -> None:
        self._state, self._ending = state, ending
        self._placing, self._returning, self._staying = placing, returning, staying
        self._standby = Standby(state)
        self._hellos: dict[int, RelayHello] = {}
        self._awaited = set(known)
        self._orphans: dict[str, int] = {}
        self._on_all_back = on_all_back

    def names(self) -> list[str]:
        return sorted({hello.relay for hello in self._hellos.values()} | set(self._orphans))

    def linked(self, peer: int, hello: RelayHello) -> None:
        """A relay connected and stated its table."""
        for old, other in list(self._hellos.items()):
            if other.relay == hello.relay:
                del self._hellos[old]
                self._standby.lost(old)
        self._hellos[peer] = hello
        self._standby.linked(peer, hello)
        self._orphans.pop(hello.relay, None)
        self._state.away.discard(hello.relay)
        for placed in hello.players:
            self._returning.restore(peer, hello.relay, hello.region, placed)
        entering = {player.conn for player in self._state.players if is_entering(player)}
        self._close_all(hello.relay, entering | {placed.conn for placed in hello.players})
        if hello.relay in self._awaited:
            self._awaited.remove(hello.relay)
            if not self._awaited:
                self._on_all_back()

    def lost(self, peer: int) -> None:
        """Its players play on; it has a while to come back."""
        self._standby.lost(peer)
        if (hello := self._hellos.pop(peer, None)) is not None:
            self._orphans[hello.relay] = self._state.now_ms
            self._state.away.add(hello.relay)

    def says(self, peer: int, message: RelaySays) -> None:
        if (hello := self._hellos.get(peer)) is None or isinstance(message, RelayHello):
            return
        if isinstance(message, Arrived):
            self._placing.arrived(peer, hello.relay, hello.region, message)
        elif (player := self._state.players.by_conn.get((peer, message.conn))) is not None:
            self._staying.hear(player, message)

    def due(self) -> None:
        """Relays that did not come back in time; and what those that are here should have stand."""
        self._standby.due()
        for relay, since_ms in list(self._orphans.items()):
            if self._state.now_ms - since_ms > self._state.rules.hold_ms:
                del self._orphans[relay]
                self._state.away.discard(relay)
                self._close_all(relay, frozenset())

    def _close_all(self, relay: str, but: Set[int]) -> None:
        """Players of this relay whose clients it does not have."""
        for player in [player for player in self._state.players if player.relay == relay and player.conn not in but]:
            self._ending.closed(player)
