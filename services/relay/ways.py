"""How long hosts take to answer this relay: timed connections in, `host.rtt` and addresses to try again out. Pure.

A host is timed whenever a player is connected to it, and tried again now and then while it answers (DESIGN D8).
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from libs.events import HostId, HostRtt, Region, is_name

SAMPLES_MAX: Final = 32
WINDOW_MS: Final = 600_000
"""Older samples do not count: p50 and p95 are of the last 32 within ten minutes."""
SAMPLES_MIN: Final = 3
"""One slow answer says nothing of a way."""
HOSTS_MAX: Final = 1_000
"""Hosts of one relay's players; of more, who was timed longest ago is forgotten."""
PROBE_FIRST_MS: Final = 2_000
"""Until there are SAMPLES_MIN. Map-servers take many connections within 3 s from one address for an attack."""
PROBE_MS: Final = 30_000
PROBES_MAX: Final = 16
"""At once."""
CLOSED_MS: Final = 600_000
"""A player forwards a port, or forgets it, now and then; until it is found he plays all the same."""
FAILURES_MAX: Final = 3
"""In a row: its map-server is gone, nobody is served from there."""
SAY_MS: Final = 1_000
"""At most this often of one host, on change."""
RESTATE_MS: Final = 60_000
"""host.rtt is kept in no stream: who listens anew hears it within this time."""
MOVED_RATIO, MOVED_MS = 0.1, 1.0
"""A p50 or p95 that moved by a tenth, and by a millisecond, is said anew."""


@dataclass(slots=True)
class Way:
    """To one host. rtts: (round trip ms, when). said: p50 and p95 as last said."""

    address: str
    port: int
    rtts: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=SAMPLES_MAX))
    probe_ms: int = 0
    failures: int = 0
    said: tuple[float, float] | None = None
    said_ms: int = 0

    def percentiles(self, now_ms: int) -> tuple[float, float] | None:
        """p50 and p95 (nearest rank), ms; None below SAMPLES_MIN."""
        while self.rtts and now_ms - self.rtts[0][1] > WINDOW_MS:
            self.rtts.popleft()
        if len(self.rtts) < SAMPLES_MIN:
            return None
        ordered = sorted(rtt_ms for rtt_ms, _ in self.rtts)
        return ordered[(len(ordered) - 1) // 2], ordered[-(-len(ordered) * 19 // 20) - 1]


class Ways:
    """region: of the relay that times. Times are Unix ms."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._ways: OrderedDict[HostId, Way] = OrderedDict()

    def timed(self, server: str, address: str, port: int, rtt_ms: float, now_ms: int) -> None:
        """A server took a player's connection. server: as the bridge calls it; the VPS's own are no hosts."""
        if (host := host_of(server)) is None:
            return
        way = self._ways.pop(host, None) or Way(address, port)
        way.address, way.port = address, port
        self._ways[host] = way
        if len(self._ways) > HOSTS_MAX:
            self._ways.popitem(last=False)
        self._count(way, rtt_ms, now_ms)

    def probed(self, host: HostId, rtt_ms: float | None, now_ms: int) -> None:
        """What came of a probe; None: nothing answers there."""
        if (way := self._ways.get(host)) is None:
            return
        if rtt_ms is not None:
            self._count(way, rtt_ms, now_ms)
            return
        way.failures += 1
        if way.failures >= FAILURES_MAX:
            del self._ways[host]

    def to_probe(self, now_ms: int) -> list[tuple[HostId, str, int]]:
        """Whom to connect to now, and where: they are not named again before they are due again. Who dials cannot be."""
        due = [(host, way) for host, way in self._ways.items() if way.address and now_ms >= way.probe_ms][:PROBES_MAX]
        for _, way in due:
            way.probe_ms = now_ms + PROBE_MS
        return [(host, way.address, way.port) for host, way in due]

    def to_say(self, now_ms: int) -> Iterator[HostRtt]:
        """What is news now, or was said long ago."""
        for host, way in self._ways.items():
            age_ms = now_ms - way.said_ms
            if age_ms < SAY_MS or (found := way.percentiles(now_ms)) is None:
                continue
            if way.said is None or age_ms >= RESTATE_MS or any(map(_moved, way.said, found)):
                way.said, way.said_ms = found, now_ms
                yield HostRtt(host=host, at_ms=now_ms, region=self._region, p50_ms=found[0], p95_ms=found[1])

    def _count(self, way: Way, rtt_ms: float, now_ms: int) -> None:
        way.rtts.append((rtt_ms, now_ms))
        way.failures = 0
        way.probe_ms = now_ms + (PROBE_FIRST_MS if len(way.rtts) < SAMPLES_MIN else PROBE_MS)


class Closed:
    """Addresses that hosts named and where nothing of ours answered: they are not tried again for a while. Bounded."""

    def __init__(self) -> None:
        self._until_ms: OrderedDict[tuple[str, int], int] = OrderedDict()

    def add(self, address: str, port: int, now_ms: int) -> None:
        self._until_ms[address, port] = now_ms + CLOSED_MS
        self._until_ms.move_to_end((address, port))
        if len(self._until_ms) > HOSTS_MAX:
            self._until_ms.popitem(last=False)

    def has(self, address: str, port: int, now_ms: int) -> bool:
        return now_ms < self._until_ms.get((address, port), 0)


def host_of(server: str) -> HostId | None:
    """`<host>/<map>` is a host's map-server; None for the VPS's."""
    host, slash, _ = server.partition("/")
    return HostId(host) if slash and is_name(host) else None


def _moved(before_ms: float, after_ms: float) -> bool:
    return abs(after_ms - before_ms) > max(MOVED_MS, MOVED_RATIO * before_ms)
