"""host.up as the registry says it, and whether it says something new. Pure."""

from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_address

import msgspec

from libs.config import Settings
from libs.events import HostMetrics, HostSpec, HostUp, MapName, Region
from libs.hosting.eligibility import Unmet, disconnects_last_hour, slots_for, unmet_requirements
from libs.hosting.score import PPM, VPS_REGION, latency_term, static_terms
from libs.hosting.world import Host

SLACK = 0.05
"""Hysteresis: a host that is up stays fit until it misses a limit by this share."""
TERM_MOVED = PPM // 20
"""A scored term that moved by more than .05 is material."""
TRUST_MOVED = 0.05
PLAIN = (
    "account_id",
    "region",
    "network",
    "reach",
    "slots",
    "draining",
    "ready_maps",
    "failed_maps",
    "disconnects_ms",
    "players_max",
)
"""Material whenever it is another."""


def unmet_of(host: Host, spec: HostSpec, disconnects_ms: list[int], now_ms: int, settings: Settings) -> list[Unmet]:
    slack = SLACK if host.is_up else 0.0
    return unmet_requirements(spec, disconnects_last_hour(disconnects_ms, now_ms), settings.host_requirements, slack)


def up_fact(
    host: Host,
    metrics: HostMetrics,
    spec: HostSpec,
    disconnects_ms: list[int],
    trust: float,
    failed: set[MapName],
    draining: bool,
    now_ms: int,
    settings: Settings,
    came_from: str | None = None,
) -> HostUp:
    """The host as it is now. came_from: the network it connects from: where it is, if it names no address."""
    before = host.up if host.is_up else None
    return HostUp(
        host=metrics.host,
        account_id=metrics.account_id,
        at_ms=now_ms,
        spec=spec,
        region=metrics.region,
        network=_network(host, metrics.address, came_from),
        reach="direct" if metrics.address else "dialback" if metrics.dials else "none",
        disconnects_ms=disconnects_ms,
        slots=slots_for(spec, len(metrics.maps), settings.host_requirements, before.slots if before else None),
        draining=draining,
        trust=trust,
        ready_maps=sorted(name for name, report in metrics.maps.items() if report.state == "ready" and name not in failed),
        failed_maps=sorted(failed),
        players_max=metrics.players_max,
    )


def _network(host: Host, address: str | None, came_from: str | None) -> str:
    """A registry that began after the host connected goes by what was said before."""
    if address:
        return network_of(address)
    return came_from or (host.up.network if host.up is not None else network_of(None))


def is_material(before: HostUp, after: HostUp, settings: Settings) -> bool:
    """Whether `after` says something a decider would weigh otherwise."""
    if any(getattr(before, name) != getattr(after, name) for name in PLAIN):
        return True
    if abs(before.trust - after.trust) > TRUST_MOVED or (before.trust < settings.security.trust_min) != (
        after.trust < settings.security.trust_min
    ):
        return True
    old, new = static_terms(before, settings), static_terms(after, settings)
    if any(abs(old[term] - new[term]) > TERM_MOVED for term in old):
        return True
    return any(
        abs(latency_term(before, region, settings) - latency_term(after, region, settings)) > TERM_MOVED
        for region in weighed_regions(before, after)
    )


def weighed_regions(before: HostUp, after: HostUp) -> set[Region]:
    """Regions whose players may see a difference; those of no known region among them."""
    return {VPS_REGION, *before.spec.region_rtt_ms, *after.spec.region_rtt_ms}


def up_with(up: HostUp, spec: HostSpec) -> HostUp:
    return msgspec.structs.replace(up, spec=spec)


@lru_cache(maxsize=16_384)
def network_of(address: str | None) -> str:
    """A name for the network an address shares its failures with (IPv4 /24, IPv6 /48), not the address (DESIGN D12)."""
    if not address:
        return "unknown"
    try:
        packed = ip_address(address).packed
        prefix = packed[:3] if len(packed) == 4 else packed[:6]
    except ValueError:
        prefix = address.encode()
    return "n" + blake2b(prefix, digest_size=6).hexdigest()
