"""Whether a heartbeat can change anything: most cannot, and cost nothing more than being heard. Pure.

A host that was judged and about which nothing new was to be said is calm. From then on a heartbeat within these bounds would be
judged alike – no gate crossed, no scored term moved by what is material, no slot more or less – until time itself may change
something. Whatever else is said of the host (a fact, a relay's word, its player entering) is judged anyway.
tests/unit/test_registry_calm.py holds that nothing is ever said otherwise with it than without.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from operator import attrgetter

from libs.config import Settings
from libs.events import HostMetrics, HostSpec, HostUp, MapName, MapReport, Region
from libs.hosting.eligibility import HOUR_MS
from libs.hosting.score import PPM, latency_term
from libs.hosting.world import Host
from services.registry.facts import SLACK, TERM_MOVED, up_with, weighed_regions
from services.registry.orders import repeat_ms, start_deadlines_ms
from services.registry.presence import Presence

MARGIN = 0.001
"""Of a term: bounds are a little closer than the rules, so that rounding cannot matter."""
Bounds = tuple[float, float]
UNMEASURED: Bounds = (inf, -inf)
"""Of what a host does not say: no number is within."""
_MEASURED = attrgetter("cpu_ghz", "free_ram_mb", "net_mbps", "latency_ms", "jitter_ms", "packet_rate")
"""What wanders; `Calm.bounds` are in this order."""


@dataclass(frozen=True, slots=True)
class Calm:
    """last: the heartbeat that was judged. measured: of it. bounds: least and most of each, in turn, as the host says it; units
    as host.metrics. until_ms: the registry's clock."""

    last: HostMetrics
    until_ms: int
    measured: tuple[float | None, ...]
    bounds: tuple[float, ...]
    region_rtt_ms: Mapping[Region, Bounds]

    def holds(self, beat: HostMetrics, now_ms: int) -> bool:
        """Judging it would change nothing. Written out: this is every heartbeat."""
        last = self.last
        if (
            now_ms >= self.until_ms
            or beat.leaving
            or beat.cpu_cores != last.cpu_cores
            or beat.account_id != last.account_id
            or beat.region != last.region
            or beat.address != last.address
            or beat.link != last.link
            or beat.dials != last.dials
            or beat.players_max != last.players_max
            or beat.bundle != last.bundle
            or beat.bundle_refused != last.bundle_refused
            or not (beat.maps == last.maps or _alike(beat.maps, last.maps))
        ):
            return False
        return self._all_within(beat) or self._measures_hold(beat)

    def _all_within(self, beat: HostMetrics) -> bool:
        """It measures everything, and everything is within: nearly always."""
        ghz, ram, net, latency, jitter, rate = _MEASURED(beat)
        ghz_0, ghz_1, ram_0, ram_1, net_0, net_1, latency_0, latency_1, jitter_0, jitter_1, rate_0, rate_1 = self.bounds
        rtts_ms, bounds_of = beat.region_rtt_ms, self.region_rtt_ms
        if rtts_ms is None or len(rtts_ms) != len(bounds_of):
            return False
        try:
            if not (
                ghz_0 <= ghz <= ghz_1
                and ram_0 <= ram <= ram_1
                and net_0 <= net <= net_1
                and latency_0 <= latency <= latency_1
                and jitter_0 <= jitter <= jitter_1
                and rate_0 <= rate <= rate_1
            ):
                return False
            for region, rtt_ms in rtts_ms.items():
                low, high = bounds_of[region]
                if not low <= rtt_ms <= high:  # type: ignore[operator]
                    return False
        except (TypeError, KeyError):  # something is unmeasured, or of another region
            return False
        return True

    def _measures_hold(self, beat: HostMetrics) -> bool:
        """The same for whoever does not measure all, or whose value is what it was, although without its bounds."""
        bounds = zip(self.bounds[::2], self.bounds[1::2], strict=True)
        for now, then, (low, high) in zip(_MEASURED(beat), self.measured, bounds, strict=True):
            if now != then and (now is None or not low <= now <= high):
                return False
        rtts_ms, bounds_of = beat.region_rtt_ms or {}, self.region_rtt_ms
        if rtts_ms == (self.last.region_rtt_ms or {}):
            return True
        if rtts_ms.keys() != bounds_of.keys():
            return False
        for region, rtt_ms in rtts_ms.items():
            low, high = bounds_of[region]
            if bounds_of[region] is not UNMEASURED if rtt_ms is None else not low <= rtt_ms <= high:
                return False
        return True


def calm_of(host: Host, presence: Presence, spec: HostSpec, *, until_ms: int, now_ms: int, settings: Settings) -> Calm | None:
    """Of a host that was just judged, nothing new to be said, its order said; None for one that is not up.

    spec: as accepted now, what was observed included. until_ms: when it has to be judged whatever it says.
    """
    if not host.is_up or host.up is None:
        return None
    up, beat = host.up, presence.metrics
    needs, reference = settings.host_requirements, settings.scoring.reference
    least, most = 1 - SLACK, 1 + SLACK
    cores = max(spec.cpu_cores, 1)
    regions = _latency_room(up, spec, settings)
    unmeasured = min((room for region, room in regions.items() if region not in spec.region_rtt_ms), default=inf)
    cpu_room = _room(spec.cpu_ghz * cores, up.spec.cpu_ghz * up.spec.cpu_cores, reference.cpu_ghz_cores) / cores
    ram_room = _room(spec.free_ram_mb, up.spec.free_ram_mb, reference.ram_mb)
    net_room = _room(spec.net_mbps, up.spec.net_mbps, reference.net_mbps)
    ram_low, ram_high = _slot_bounds(up.slots, spec, len(beat.maps), settings)
    return Calm(
        last=beat,
        until_ms=min(until_ms, _until_ms(host, presence, now_ms, settings)),
        measured=_MEASURED(beat),
        bounds=(
            *_around(beat.cpu_ghz, cpu_room, spec.cpu_ghz - needs.cpu_min_ghz * least),
            *_around(
                beat.free_ram_mb,
                ram_room,
                min(spec.free_ram_mb - needs.ram_min_mb * least, spec.free_ram_mb - ram_low),
                ram_high - spec.free_ram_mb,
            ),
            *_around(beat.net_mbps, net_room, spec.net_mbps - needs.net_min_speed * least),
            *_around(beat.latency_ms, unmeasured, inf, needs.net_max_latency * most - spec.latency_ms),
            *_around(beat.jitter_ms, inf, inf, needs.max_jitter_ms * most - spec.jitter_ms),
            *_around(beat.packet_rate, inf, spec.packet_rate - needs.min_packet_rate * least),
        ),
        region_rtt_ms={
            region: _around(rtt_ms, regions.get(region, 0.0)) for region, rtt_ms in (beat.region_rtt_ms or {}).items()
        },
    )


def _around(claimed: float | None, room: float, down: float = inf, up: float = inf) -> Bounds:
    """room: either way; down, up: besides. What is accepted moves by no more than what is claimed."""
    if claimed is None:
        return UNMEASURED
    return claimed - min(room, down), claimed + min(room, up)


def _room(now: float, said: float, reference: float) -> float:
    """How far a value may move from now until its term has moved materially from what was said."""
    return max(0.0, (TERM_MOVED / PPM - MARGIN) * reference - abs(now - said))


def _latency_room(up: HostUp, spec: HostSpec, settings: Settings) -> dict[Region, float]:
    """The same for round trips, ms: exp(-rtt / worst) moves by at most 1 / worst for each ms."""
    worst_ms = max(settings.host_requirements.net_max_latency, 1e-3)
    now = up_with(up, spec)
    return {
        region: max(
            0.0,
            (TERM_MOVED - abs(latency_term(up, region, settings) - latency_term(now, region, settings))) / PPM - MARGIN,
        )
        * worst_ms
        for region in weighed_regions(up, now)
    }


def _slot_bounds(slots: int, spec: HostSpec, running: int, settings: Settings) -> Bounds:
    """Free memory with which it has as many slots as now (libs/hosting/eligibility.slots_for)."""
    needs = settings.host_requirements
    low = (slots - 0.24 - running) * needs.slot_ram_mb
    if min(spec.cpu_cores * needs.slots_per_core, needs.slots_max) < slots + 1.24:
        return low, inf
    return low, (slots + 1.24 - running) * needs.slot_ram_mb


def _until_ms(host: Host, presence: Presence, now_ms: int, settings: Settings) -> int:
    """When time alone may change something: an order is due again, a map has not started, an old disconnect counts no more."""
    until_ms = presence.order_ms + repeat_ms(presence)
    for deadline_ms in start_deadlines_ms(presence, settings):
        if deadline_ms > now_ms:
            until_ms = min(until_ms, deadline_ms)
    for disconnect_ms in host.disconnects_ms:
        if disconnect_ms + HOUR_MS > now_ms:
            until_ms = min(until_ms, disconnect_ms + HOUR_MS)
    return until_ms


def _alike(one: Mapping[MapName, MapReport], other: Mapping[MapName, MapReport]) -> bool:
    """But for how many players are on them."""
    return one.keys() == other.keys() and all(
        report.state == other[name].state and report.tenure == other[name].tenure for name, report in one.items()
    )
