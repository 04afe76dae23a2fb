"""Who may host, what may be hosted, and since when an assignment no longer holds. Every no has a name."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import translate

from libs.events import HostId, HostMetrics, HostSpec, MapName, Region
from libs.events.orders import WRONG_BUNDLE
from libs.hosting.rules import GeneralRules, MapListRules, RequirementRules, Rules
from libs.hosting.world import Host, MapState, World

HOUR_MS = 3_600_000


class Gate(StrEnum):
    """Why a host that is up does not get a map, in the order they are asked."""

    DRAINING = "draining"
    EXCLUDED = "blacklisted"
    UNTRUSTED = "untrusted"
    UNREACHABLE = "unreachable"
    FULL = "full"
    FAILED_MAP = "failed_map"
    COOLING = "cooling"
    CROWDED = "crowded"


@dataclass(frozen=True, slots=True)
class Unmet:
    """One requirement a host does not meet. value, allowed: in the requirement's own unit."""

    requirement: str
    value: float
    allowed: float

    def __str__(self) -> str:
        word = "at most" if self.requirement in AT_MOST else "at least"
        return f"{self.requirement}: {self.value:g}, needed {word} {self.allowed:g}"


AT_MOST = frozenset({"net_max_latency", "max_jitter_ms", "max_disconnects_per_hour"})


def accepted_spec(metrics: HostMetrics, rules: RequirementRules) -> HostSpec:
    """The metrics with the worst allowed value wherever nothing was measured (DESIGN D8)."""

    def measured(value: float | None, worst_allowed: float) -> float:
        return worst_allowed if value is None else value

    rtts = metrics.region_rtt_ms or {}
    return HostSpec(
        cpu_ghz=measured(metrics.cpu_ghz, rules.cpu_min_ghz),
        cpu_cores=rules.cpu_min_cores if metrics.cpu_cores is None else metrics.cpu_cores,
        free_ram_mb=measured(metrics.free_ram_mb, rules.ram_min_mb),
        net_mbps=measured(metrics.net_mbps, rules.net_min_speed),
        latency_ms=measured(metrics.latency_ms, rules.net_max_latency),
        jitter_ms=measured(metrics.jitter_ms, rules.max_jitter_ms),
        packet_rate=measured(metrics.packet_rate, rules.min_packet_rate),
        region_rtt_ms={Region(region): rtt for region, rtt in rtts.items() if rtt is not None},
    )


def unmet_requirements(spec: HostSpec, disconnects_in_hour: int, rules: RequirementRules, slack: float = 0.0) -> list[Unmet]:
    """Every requirement this host fails, named as in the configuration; empty: it is fit.

    slack: share of the limit by which a measured value may miss it; hysteresis for hosts that are up already.
    """
    at_least = (
        ("cpu_min_ghz", spec.cpu_ghz, rules.cpu_min_ghz),
        ("cpu_min_cores", spec.cpu_cores, rules.cpu_min_cores),
        ("ram_min_mb", spec.free_ram_mb, rules.ram_min_mb),
        ("net_min_speed", spec.net_mbps, rules.net_min_speed),
        ("min_packet_rate", spec.packet_rate, rules.min_packet_rate),
    )
    at_most = (
        ("net_max_latency", spec.latency_ms, rules.net_max_latency),
        ("max_jitter_ms", spec.jitter_ms, rules.max_jitter_ms),
    )
    unmet = [Unmet(name, value, allowed) for name, value, allowed in at_least if value < allowed * (1 - slack)]
    unmet += [Unmet(name, value, allowed) for name, value, allowed in at_most if value > allowed * (1 + slack)]
    if disconnects_in_hour > rules.max_disconnects_per_hour:
        unmet.append(Unmet("max_disconnects_per_hour", disconnects_in_hour, rules.max_disconnects_per_hour))
    return unmet


def wrong_bundle(bundle: str | None, rules: GeneralRules) -> str | None:
    """Why a host with this bundle gets no maps, for its player; None: it has the wanted one, or any will do."""
    if not rules.hosts_bundle or bundle == rules.hosts_bundle:
        return None
    return f"{WRONG_BUNDLE} {bundle or 'none'}, needed {rules.hosts_bundle}"


def disconnects_last_hour(disconnects_ms: Sequence[int], at_ms: int) -> int:
    return sum(at_ms - HOUR_MS < when <= at_ms for when in disconnects_ms)


def slots_for(spec: HostSpec, running: int, rules: RequirementRules, now: int | None = None) -> int:
    """How many map-servers it may hold (DESIGN D14).

    running: map-servers of ours already in its RAM. now: the slots it has; kept while the exact value is within a quarter slot
    or 5 % of them: free memory is never at rest.
    """
    by_ram = spec.free_ram_mb / rules.slot_ram_mb + running
    exact = min(spec.cpu_cores * rules.slots_per_core, by_ram, rules.slots_max)
    if now is not None and now <= rules.slots_max:
        slack = max(0.25, 0.05 * now)
        if now - slack <= exact < now + 1 + slack:
            return now
    return int(exact)


class MapList:
    """Which maps may leave the VPS: in an `eligible` list and in no `never` list; globs allowed, `never` wins."""

    def __init__(self, rules: MapListRules) -> None:
        self._eligible, self._never = _matcher(rules.eligible_patterns), _matcher(rules.never)
        self._known: dict[str, bool] = {}

    def allows(self, name: str) -> bool:
        if (known := self._known.get(name)) is None:
            if len(self._known) >= NAMES_REMEMBERED_MAX:
                self._known.clear()
            known = self._known[name] = self._eligible(name) is not None and self._never(name) is None
        return known


NAMES_REMEMBERED_MAX = 50_000
"""Forty times the maps of a stock server; bounds what made-up names can cost."""


def _matcher(patterns: Sequence[str]) -> Callable[[str], re.Match[str] | None]:
    """Matches what any of the patterns does; nothing, for none."""
    return re.compile("|".join(map(translate, patterns)) or r"(?!)").match


def standing_gate(host: Host, rules: Rules, at_ms: int) -> Gate | None:
    """The gate that keeps a host which is up from any map whatever, or None. Slots and single maps are asked apart."""
    if host.draining:
        return Gate.DRAINING
    if host.excluded(at_ms):
        return Gate.EXCLUDED
    if host.up is None:
        return None
    if rules.general.enable_p2p_security_checks and (host.up.trust <= 0 or host.up.trust < rules.security.trust_min):
        return Gate.UNTRUSTED
    if rules.regions and host.up.reach == "none":
        return Gate.UNREACHABLE
    return None


def map_gate(host: Host, name: MapName, cooling: Mapping[HostId, int], at_ms: int) -> Gate | None:
    """The gate that keeps a host from this one map, or None."""
    if host.up is not None and name in host.up.failed_maps:
        return Gate.FAILED_MAP
    if at_ms < cooling.get(host.id, 0):
        return Gate.COOLING
    return None


class Broken(StrEnum):
    """Why a p2p assignment no longer holds (DESIGN D3)."""

    MAP_NOT_ELIGIBLE = "map_not_eligible"
    HOST_DOWN = "host_down"
    BLACKLISTED = "blacklisted"
    FAILED_MAP = "failed_map"
    MOVE_FAILED = "move_failed"
    DRAINING = "draining"


def broken(world: World, state: MapState, allowed: bool, at_ms: int) -> Broken | None:
    """None while the assignment of `state` holds. allowed: P2P is on and the map list allows this map."""
    if state.assign is None or state.assign.host is None:
        return None
    host = world.host(state.assign.host)
    if not host.is_up:
        return Broken.HOST_DOWN
    if host.excluded(at_ms):
        return Broken.BLACKLISTED
    if host.up is not None and state.name in host.up.failed_maps:
        return Broken.FAILED_MAP
    if state.move_failed:
        return Broken.MOVE_FAILED
    if not allowed:
        return Broken.MAP_NOT_ELIGIBLE
    if host.draining:
        return Broken.DRAINING
    return None
