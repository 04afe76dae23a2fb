"""When to look whether a host has died, and whether it has: what was heard of all of them, by one listener. Pure."""

import heapq
from collections.abc import Iterator

from libs.config import Settings
from libs.events import HostId
from services.registry.presence import Death, Presence, longest_silence_ms


class Watch:
    """presences: shared with the core. A host is looked at once its deadline has passed; the earliest of it counts."""

    def __init__(self, settings: Settings, presences: dict[HostId, Presence]) -> None:
        self._settings, self._presences = settings, presences
        self._heap: list[tuple[int, HostId]] = []
        self._deadlines: dict[HostId, int] = {}
        self._listening_since_ms: int | None = None

    def listen_anew(self, now_ms: int) -> None:
        """What was said before now may have been missed."""
        self._listening_since_ms = now_ms

    def look_at(self, host: HostId, at_least_ms: int = 0) -> None:
        """When it may have died, if nothing more is heard of it; not before at_least_ms."""
        since_ms = self._listening_since_ms or 0
        presence = self._presences.get(host)
        when_ms = presence.deadline_ms(since_ms, self._settings) if presence else since_ms + longest_silence_ms(self._settings)
        when_ms = max(when_ms, at_least_ms)
        if when_ms < self._deadlines.get(host, when_ms + 1):
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
        """Dead by what this replica itself has listened to without a gap."""
        since_ms = self._listening_since_ms if self._listening_since_ms is not None else now_ms
        if (presence := self._presences.get(host)) is None:
            return "silent" if now_ms - since_ms >= longest_silence_ms(self._settings) else None
        return presence.death(now_ms, since_ms, self._settings)

    def heard_ms(self, host: HostId) -> int:
        """When it was heard last; a stranger: since when we have listened for it."""
        presence = self._presences.get(host)
        return presence.heard_ms if presence else self._listening_since_ms or 0
