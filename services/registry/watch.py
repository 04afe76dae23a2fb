"""When to look whether a host has died, and whether it has: what was heard of all of them, by one listener. Pure.

Silence is only as good as the listener: a host is called silent when the bus itself has answered us after its time was up
(`Probe`), by a connection that did not break, and when nothing was missed since it was heard last (`listen_anew`).
"""

import heapq
from collections.abc import Iterator

from libs.config import Settings
from libs.events import HostId
from libs.hosting.effects import Probe
from services.registry.presence import Death, Presence, longest_silence_ms

PROBE_TIMEOUT_MS = 1_000
KNOWN_MS = 250
"""How long the bus's answer stands: what was asked longer ago is asked again."""


class Watch:
    """presences: shared with the core. A host is looked at once its deadline has passed; the earliest of it counts."""

    def __init__(self, settings: Settings, presences: dict[HostId, Presence]) -> None:
        self._settings, self._presences = settings, presences
        self._heap: list[tuple[int, HostId]] = []
        self._deadlines: dict[HostId, int] = {}
        self._since_ms: int | None = None
        self._known_ms = 0
        self._asked_ms: int | None = None
        self._in_doubt: set[HostId] = set()

    def listen_anew(self, now_ms: int) -> None:
        """What was said before now may have been missed."""
        self._since_ms = now_ms
        self._known_ms = 0

    def look_at(self, host: HostId, at_least_ms: int = 0) -> None:
        """When it may have died, if nothing more is heard of it; not before at_least_ms."""
        presence, before_ms = self._presences.get(host), self._deadlines.get(host)
        if presence is not None and before_ms is not None and before_ms <= presence.soonest_ms:
            return
        since_ms = self._since_ms or 0
        when_ms = presence.deadline_ms(since_ms, self._settings) if presence else since_ms + longest_silence_ms(self._settings)
        when_ms = max(when_ms, at_least_ms)
        if before_ms is None or when_ms < before_ms:
            self._deadlines[host] = when_ms
            heapq.heappush(self._heap, (when_ms, host))

    def due(self, now_ms: int) -> Iterator[HostId]:
        """Hosts to look at now, each taken off the list."""
        while self._heap and self._heap[0][0] <= now_ms:
            deadline_ms, host = heapq.heappop(self._heap)
            if self._deadlines.get(host) == deadline_ms:
                del self._deadlines[host]
                yield host

    def death(self, host: HostId, now_ms: int) -> Death | None:
        """Dead by what this replica itself has listened to without a gap, and the bus has answered for."""
        return self._death(host, self._known_ms if now_ms - self._known_ms <= KNOWN_MS else 0, now_ms)

    def seems_dead(self, host: HostId, now_ms: int) -> bool:
        """The same, were there nothing on its way to us."""
        return self._death(host, now_ms, now_ms) is not None

    def doubt(self, host: HostId) -> None:
        """It seems dead: ask the bus, then look again."""
        self._in_doubt.add(host)

    def probe(self, now_ms: int, *, wanted: bool = False) -> Probe | None:
        """What to ask now, one at a time; answered by `on_probed`. wanted: somebody else wants to know how quick the bus is."""
        if not (self._in_doubt or wanted) or self._asked_ms is not None:
            return None
        self._asked_ms = now_ms
        return Probe(PROBE_TIMEOUT_MS)

    def on_probed(self, answered: bool, now_ms: int) -> int:
        """How long it took, ms."""
        asked_ms, self._asked_ms = self._asked_ms, None
        if not answered or asked_ms is None:
            self.listen_anew(now_ms)
        elif asked_ms > (self._since_ms or 0):
            self._known_ms = asked_ms
        in_doubt, self._in_doubt = self._in_doubt, set()
        for host in in_doubt:
            self.look_at(host)
        return now_ms - asked_ms if asked_ms is not None else PROBE_TIMEOUT_MS

    def describe(self, host: HostId, death: Death, now_ms: int) -> str:
        """The signs, in words."""
        if (presence := self._presences.get(host)) is not None:
            return presence.why_dead(death, now_ms)
        return f"never heard in {now_ms - (self._since_ms or now_ms)} ms"

    def heard_ms(self, host: HostId) -> int:
        """When it was heard last; a stranger: since when we have listened for it."""
        presence = self._presences.get(host)
        return presence.heard_ms if presence else self._since_ms or 0

    def _death(self, host: HostId, known_ms: int, now_ms: int) -> Death | None:
        since_ms = self._since_ms if self._since_ms is not None else now_ms
        if (presence := self._presences.get(host)) is None:
            return "silent" if known_ms - since_ms >= longest_silence_ms(self._settings) else None
        return presence.death(known_ms, since_ms, self._settings)
