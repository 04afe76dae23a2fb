"""Which maps the scorer has to look at, and when: without a server, on the VPS although hosts may serve them, on hosts."""

from collections.abc import Callable

from libs.events import MapName
from libs.hosting.looks import TICK_MS
from libs.hosting.score import name_hash
from libs.hosting.world import MapState

SLICES = 41
"""Idle, refill and rebalance look at every SLICES-th map a tick: each map once in SLICES * TICK_MS = 10 s. A prime, so that
whoever ticks more slowly still comes to every slice."""
MINUTE_MS = 60_000


class Index:
    """Fed with every map of which something was said. allows: may hosts serve it? unassigned: with players and no assignment.
    on_vps: of those that hosts may serve."""

    def __init__(self, allows: Callable[[MapName], bool]) -> None:
        self._allows = allows
        self.unassigned: set[MapName] = set()
        self.on_vps: set[MapName] = set()
        self._on_hosts: list[set[MapName]] = [set() for _ in range(SLICES)]
        self._rebalanced: dict[MapName, int] = {}

    def note(self, state: MapState) -> None:
        name, assign = state.name, state.assign
        if assign is None:
            (self.unassigned.add if state.has_players else self.unassigned.discard)(name)
            return
        self.unassigned.discard(name)
        on_hosts = self._on_hosts[name_hash(name) % SLICES]
        (on_hosts.add if assign.host is not None else on_hosts.discard)(name)
        (self.on_vps.add if assign.host is None and self._allows(name) else self.on_vps.discard)(name)
        if assign.reason in ("rebalance", "refill"):  # a refill hides why its tenure began: the rate must not be exceeded
            self._rebalanced[name] = assign.since_ms
        else:
            self._rebalanced.pop(name, None)

    def turn(self, at_ms: int) -> set[MapName]:
        """Maps on hosts whose turn it is."""
        return self._on_hosts[at_ms // TICK_MS % SLICES]

    def rebalanced(self, at_ms: int) -> int:
        """Tenures that began with a better host within the minute before."""
        return sum(since_ms > at_ms - MINUTE_MS for since_ms in self._rebalanced.values())
