"""How good a host is for a map (DESIGN section 6), in whole millionths (ppm).

Whole numbers, because a decision is repeated by replay on another machine: integer sums do not depend on order or SIMD width.
`score_ppm` is the definition; libs/hosting/ranking.py computes the same for thousands of hosts at once, and a property test
holds the two equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from math import exp

from libs.events import HostUp, Region
from libs.hosting.eligibility import disconnects_last_hour
from libs.hosting.rules import Rules

PPM = 1_000_000
VPS_REGION = Region("")
"""Stands for `no region known`: the host's round trip to the VPS counts."""
_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Weights:
    """The settings' weights and references, ready for whole-number arithmetic."""

    cpu: int
    ram: int
    network: int
    latency: int
    stability: int
    load: int

    @classmethod
    def of(cls, rules: Rules) -> "Weights":
        weights = rules.effective_weights()
        return cls(
            cpu=_ppm(weights.cpu),
            ram=_ppm(weights.ram),
            network=_ppm(weights.network),
            latency=_ppm(weights.latency),
            stability=_ppm(weights.stability),
            load=round(rules.scoring.load_weight * PPM),
        )


def static_terms(up: HostUp, rules: Rules) -> dict[str, int]:
    """The terms that do not depend on the map, each 0..PPM. Disconnects count as of the host.up itself."""
    spec, reference = up.spec, rules.scoring.reference
    allowed = max(rules.host_requirements.max_disconnects_per_hour, 1)
    stability = 1 - disconnects_last_hour(up.disconnects_ms, up.at_ms) / (2 * allowed)
    return {
        "cpu": _ppm(spec.cpu_ghz * spec.cpu_cores / reference.cpu_ghz_cores),
        "ram": _ppm(spec.free_ram_mb / reference.ram_mb),
        "network": _ppm(spec.net_mbps / reference.net_mbps),
        "stability": _ppm(stability),
    }


def static_ppm(terms: Mapping[str, int], weights: Weights) -> int:
    return (
        weights.cpu * terms["cpu"]
        + weights.ram * terms["ram"]
        + weights.network * terms["network"]
        + weights.stability * terms["stability"]
    ) // PPM


def latency_term(up: HostUp, region: Region, rules: Rules) -> int:
    """exp(-rtt / net_max_latency), 0..PPM. Unmeasured where relays exist: no better than the worst allowed (DESIGN D8)."""
    worst_ms = max(rules.host_requirements.net_max_latency, 1e-3)
    rtt_ms = up.spec.region_rtt_ms.get(region) if region else up.spec.latency_ms
    if rtt_ms is None:
        rtt_ms = max(worst_ms, up.spec.latency_ms) if rules.regions else up.spec.latency_ms
    return _ppm(exp(-rtt_ms / worst_ms))


def load_ppm(used: int, slots: int, weights: Weights) -> int:
    return weights.load * used // max(slots, 1)


def shares(players: Mapping[Region, int]) -> dict[Region, int]:
    """Region -> players, none of them zero; nobody anywhere counts as one player at the VPS."""
    present = {region: count for region, count in players.items() if count > 0}
    return present or {VPS_REGION: 1}


def score_ppm(up: HostUp, players: Mapping[Region, int], used: int, rules: Rules) -> int:
    """The score of one host for one map, in ppm; may be below zero for a loaded host."""
    weights = Weights.of(rules)
    base = static_ppm(static_terms(up, rules), weights)
    present = shares(players)
    by_region = {region: base + weights.latency * latency_term(up, region, rules) // PPM for region in present}
    total = sum(present.values())
    mean = sum(count * by_region[region] for region, count in present.items()) // total
    return mean - load_ppm(used, up.slots, weights)


@lru_cache(maxsize=65_536)
def name_hash(name: str) -> int:
    """64 bits, the same on every machine."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")


def name_number(name: str) -> int:
    """The same, to stand in an array of signed numbers."""
    return name_hash(name) >> 1


def tie_break(map_name: str, host: str) -> int:
    """Orders hosts of equal score, differently for each map; the lower wins. SplitMix64 finaliser (Steele 2014)."""
    x = name_hash(map_name) ^ name_hash(host)
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & _MASK
    return x ^ (x >> 31)


def _ppm(value: float) -> int:
    return round(PPM * min(1.0, max(0.0, value)))
