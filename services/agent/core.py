"""What an agent says and obeys, without its I/O: orders and checks in, heartbeats and answers out."""

from collections import deque
from dataclasses import dataclass

from libs.events import (
    HostCheck,
    HostCheckReply,
    HostId,
    HostMetrics,
    HostOrder,
    LinkReport,
    MapName,
    MapReport,
    OrderedMap,
    Region,
)
from libs.events.orders import TWO_AGENTS
from libs.events.proof import proof_of

FIRST_INTERVAL_MS = 500
"""Until the registry has ordered another."""
SAID_KEPT = 1_024
"""Heartbeats remembered as our own: minutes, whatever the interval; what the registry names is seconds old."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this host is. account_id: the player's account."""

    host: HostId
    account_id: int
    region: Region


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of the machine, units as host.metrics; None: unmeasured (DESIGN D8)."""

    address: str | None = None
    port: int = 0
    cpu_ghz: float | None = None
    cpu_cores: int | None = None
    free_ram_mb: float | None = None
    net_mbps: float | None = None
    latency_ms: float | None = None
    jitter_ms: float | None = None
    packet_rate: float | None = None
    region_rtt_ms: dict[Region, float | None] | None = None
    bundle: str | None = None
    bundle_refused: str | None = None


class Agent:
    """Obeys the newest order: by the registry's lease, then by what the order had read. An older one is ignored."""

    def __init__(self, identity: Identity, run: int | None = None) -> None:
        """run: drawn by chance; tells this process from others with its identity."""
        self.identity, self._run = identity, run
        self.interval_ms = FIRST_INTERVAL_MS
        self.wanted: dict[MapName, OrderedMap] = {}
        self.order: HostOrder | None = None
        self._seq = 0
        self._said: deque[tuple[int, int]] = deque(maxlen=SAID_KEPT)

    def on_order(self, order: HostOrder) -> bool:
        """True if obeyed: `wanted` and `interval_ms` are the order's now."""
        if order.host != self.identity.host:
            return False
        if self.order is not None and (order.lease, order.as_of) < (self.order.lease, self.order.as_of):
            return False
        self.order = order
        self.wanted, self.interval_ms = order.maps, order.interval_ms
        return True

    def is_displaced_by(self, order: HostOrder) -> bool:
        """The registry hears two agents with this identity, and what counts is the other's word."""
        two = any(note.startswith(TWO_AGENTS) for note in order.notes)
        return two and order.heard is not None and (order.heard.seq, order.heard.at_ms) not in self._said

    def metrics(
        self,
        measured: Measured,
        reports: dict[MapName, MapReport],
        at_ms: int,
        *,
        leaving: bool = False,
        link: LinkReport | None = None,
        dials: bool = False,
        players_max: int | None = None,
    ) -> HostMetrics:
        """The next heartbeat. players_max: that may be here at once; None: no limit."""
        self._seq += 1
        self._said.append((self._seq, at_ms))
        return HostMetrics(
            host=self.identity.host,
            account_id=self.identity.account_id,
            at_ms=at_ms,
            seq=self._seq,
            region=self.identity.region,
            address=measured.address,
            port=measured.port,
            cpu_ghz=measured.cpu_ghz,
            cpu_cores=measured.cpu_cores,
            free_ram_mb=measured.free_ram_mb,
            net_mbps=measured.net_mbps,
            latency_ms=measured.latency_ms,
            jitter_ms=measured.jitter_ms,
            packet_rate=measured.packet_rate,
            region_rtt_ms=measured.region_rtt_ms,
            maps=reports,
            bundle=measured.bundle,
            bundle_refused=measured.bundle_refused,
            leaving=leaving,
            link=link,
            run=self._run,
            dials=dials,
            players_max=players_max,
        )

    def answer(self, check: HostCheck) -> HostCheckReply:
        """The proof that was asked for."""
        return HostCheckReply(proof=proof_of(check))
