"""What we ourselves see of the way to a host, beside what the host claims: the larger counts (DESIGN D8). Pure.

In: host.rtt of the relays; the registry's own echoes, which are host.checks that it times. Out: a host's spec with both in it,
and the echoes that are due. Every replica asks, so that who takes over knows already.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from libs.events import CheckKind, HostCheck, HostId, HostRtt, HostSpec, Region

RTT_KEPT_MS = 600_000
"""A relay says it again every minute; one that has gone says nothing for ever."""
REGIONS_MAX = 64
"""As host.up allows; what relays timed comes first."""
ECHOES = 10
"""The least of the newest counts: what waits in our own process or the agent's is not the way's, and no host answers sooner
than its way allows. Ten, since an agent whose machine is busy answers three of ten late."""
ECHOES_MIN = 3
ECHO_FIRST_MS = 1_000
"""Until there are ECHOES_MIN, after one of which it is not known whose delay it was, and while they say worse than the host: it
may be better again, or proves a liar soon."""
ECHO_MS = 15_000
ECHO_UNANSWERED_MS = 60_000
"""Who does not answer is asked after twice as long each time, up to this: why is the validator's business."""
ECHO_TIMEOUT_MS = 2_000
ECHO_EVERY_MS = 10
"""Of all hosts together, so that 10,000 cost as little as 1,500: the interval of each grows."""
ECHO_BURST_MS = 100
"""So much of the time in which nobody was asked may be made up at once."""
LATE_MS = 15
"""An echo that took so much longer than the host claims is late. It counts while the bus answers ourselves within this: what
waits on our own line is not the host's."""
OWN_KNOWN_MS = 2_000
"""How long it is known how quickly the bus answers us."""
LATE_SHARE, LATE_MIN = 0.3, 4
"""When so many hosts' newest echoes are late it is ours or the bus's doing: until that has passed no late one counts."""
IN_FLIGHT_MAX = 64
"""The shell allows 256."""


@dataclass(slots=True, eq=False)
class Way:
    """To one host. relays: region -> p50 ms as timed, and when it was said. echoes_ms: newest last. echo_ms: what counts of
    them, 0 while that is not known. worse: than was claimed at the newest. late: the newest echo; None: none came yet.
    unsure: whose delay that was. asked_ms: of the echo on its way. unanswered: echoes since the last answer."""

    relays: dict[Region, tuple[float, int]] = field(default_factory=dict)
    echoes_ms: list[int] = field(default_factory=list)
    echo_ms: float = 0
    worse: bool = False
    late: bool | None = None
    unsure: bool = False
    asked_ms: int = 0
    unanswered: int = 0
    due_ms: int = 0


class Observed:
    """Hosts that are `met` and not yet forgotten. Times: the registry's clock, ms."""

    def __init__(self) -> None:
        self._ways: dict[HostId, Way] = {}
        self._due: list[tuple[int, HostId]] = []
        self._answered = self._late = 0
        self._in_flight = 0
        self._free_ms = 0
        self._number = 0
        self._own_ms: tuple[int, int] | None = None
        self.curious = False
        """Somebody is late: how long the bus takes to answer ourselves is to be told by `on_own`."""

    def meet(self, host: HostId, now_ms: int) -> None:
        """It beats for the first time."""
        if host not in self._ways:
            self._ways[host] = Way()
            self._ask_at(host, now_ms)

    def forget(self, host: HostId) -> None:
        if (way := self._ways.pop(host, None)) is not None and way.late is not None:
            self._answered -= 1
            self._late -= way.late

    def on_rtt(self, rtt: HostRtt, now_ms: int) -> bool:
        """Whether it is about a host we know."""
        if (way := self._ways.get(rtt.host)) is None:
            return False
        if rtt.region in way.relays or len(way.relays) < REGIONS_MAX:
            way.relays[rtt.region] = (rtt.p50_ms, now_ms)
        return True

    def spec(self, host: HostId, claimed: HostSpec, now_ms: int) -> HostSpec:
        """Of claimed and observed the larger, for each way."""
        if (way := self._ways.get(host)) is None:
            return claimed
        if way.relays:
            claimed = msgspec.structs.replace(claimed, region_rtt_ms=_larger(way, claimed.region_rtt_ms, now_ms))
        if way.echo_ms > claimed.latency_ms:
            claimed = msgspec.structs.replace(claimed, latency_ms=way.echo_ms)
        return claimed

    def echoes(self, now_ms: int) -> Iterator[HostCheck]:
        """Whom to ask now; each is answered by `on_echo`. The nonce need not be secret: only who got the question knows where
        the answer goes."""
        self._free_ms = max(self._free_ms, now_ms - ECHO_BURST_MS)
        while self._due and self._due[0][0] <= now_ms and self._free_ms <= now_ms and self._in_flight < IN_FLIGHT_MAX:
            due_ms, host = heapq.heappop(self._due)
            way = self._ways.get(host)
            if way is None or way.due_ms != due_ms:
                continue
            self._in_flight += 1
            self._free_ms += ECHO_EVERY_MS
            self._number += 1
            way.asked_ms = now_ms
            yield HostCheck(host=host, at_ms=now_ms, kind=CheckKind.PRESENCE, nonce=f"{self._number:016x}")

    def on_echo(self, check: HostCheck, answered: bool, claimed_ms: float, now_ms: int) -> bool:
        """Whether something else counts now. answered: with whatever proof; that is the validator's business. claimed_ms: what
        its host says of its latency."""
        self._in_flight -= 1
        if (way := self._ways.get(check.host)) is None or way.asked_ms != check.at_ms:
            return False
        before_ms = way.echo_ms
        if answered:
            self._count(way, now_ms - check.at_ms, claimed_ms, now_ms)
            way.unanswered = 0
            way.echo_ms = min(way.echoes_ms) if len(way.echoes_ms) >= ECHOES_MIN else 0
        else:
            way.unanswered += 1
        way.worse = way.echo_ms > claimed_ms
        self._ask_at(check.host, now_ms + _pause_ms(way))
        return way.echo_ms != before_ms

    def on_own(self, round_trip_ms: int, now_ms: int) -> None:
        """The bus has answered ourselves, or after so long has not."""
        self._own_ms, self.curious = (round_trip_ms, now_ms), False

    def _count(self, way: Way, echo_ms: int, claimed_ms: float, now_ms: int) -> None:
        """One that is in time is no delay of ours, whatever others are."""
        self._answered += way.late is None
        self._late -= bool(way.late)
        way.late = echo_ms > claimed_ms + LATE_MS
        self._late += way.late
        way.unsure = way.late and not self._is_known(now_ms)
        if not way.late or (
            self._is_his() and not way.unsure and (self._late < LATE_MIN or self._late <= LATE_SHARE * self._answered)
        ):
            way.echoes_ms = [*way.echoes_ms[1 - ECHOES :], echo_ms]

    def _is_known(self, now_ms: int) -> bool:
        """How quickly the bus answers ourselves; asked for anew before it is forgotten."""
        _, at_ms = self._own_ms or (0, now_ms - OWN_KNOWN_MS)
        self.curious = now_ms - at_ms >= OWN_KNOWN_MS // 2
        return now_ms - at_ms < OWN_KNOWN_MS

    def _is_his(self) -> bool:
        """The delay is not our own line's: that is quick."""
        return self._own_ms is not None and self._own_ms[0] <= LATE_MS

    def _ask_at(self, host: HostId, due_ms: int) -> None:
        self._ways[host].due_ms = due_ms
        heapq.heappush(self._due, (due_ms, host))


def _pause_ms(way: Way) -> int:
    """Until it is asked again."""
    soon = len(way.echoes_ms) < ECHOES_MIN or way.worse or way.unsure
    pause_ms = ECHO_FIRST_MS if soon else ECHO_MS
    return min(pause_ms << min(way.unanswered, 8), ECHO_UNANSWERED_MS)


def _larger(way: Way, claimed: dict[Region, float], now_ms: int) -> dict[Region, float]:
    for region in [region for region, (_, said_ms) in way.relays.items() if now_ms - said_ms > RTT_KEPT_MS]:
        del way.relays[region]
    timed = {region: max(p50_ms, claimed.get(region, 0.0)) for region, (p50_ms, _) in way.relays.items()}
    return dict(islice((timed | {region: ms for region, ms in claimed.items() if region not in timed}).items(), REGIONS_MAX))
