"""What the domain promises, said again in the plainest way: no index, no vector, no draft. Slow, and easy to read.

In: a World and settings. Out: gates, scores, choices as DESIGN sections 5 and 6 define them. For the tests to compare with.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import exp

from libs.config import Settings
from libs.events import HostId, HostUp, MapName, Region
from libs.hosting.score import score_ppm, tie_break
from libs.hosting.world import MapState, World


@dataclass(frozen=True)
class Wish:
    """One map that wants hosts. used: slots in use where they are not the world's."""

    name: MapName
    players: Mapping[Region, int]
    cooling: Mapping[HostId, int]
    at_ms: int
    without: Collection[HostId] = ()
    used: Mapping[HostId, int] | None = None


def up_hosts(world: World) -> dict[HostId, HostUp]:
    return {host.id: host.up for host in world.hosts.values() if host.up is not None and host.up_seq > host.down_seq}


def used_slots(world: World, rules: Settings, host: HostId) -> int:
    """Primaries and warm backups, counted in the assignments."""
    warm = rules.failover.warm_backups
    assigns = [state.assign for state in world.maps.values() if state.assign is not None]
    return sum(assign.host == host for assign in assigns) + sum(host in assign.backups[:warm] for assign in assigns)


def host_gate(world: World, rules: Settings, host: HostId, at_ms: int, used: int) -> str | None:
    """The first gate that keeps a host that is up from every map, in the order of DESIGN section 6."""
    known, up = world.hosts[host], up_hosts(world)[host]
    if up.draining or (known.drain is not None and known.drain.draining):
        return "draining"
    ends = [known.verdict.blacklisted_until_ms or 0] if known.verdict else []
    ends += [known.ban.until_ms if known.ban.until_ms is not None else 2**53] if known.ban else []
    if any(at_ms < end for end in ends):
        return "blacklisted"
    if rules.general.enable_p2p_security_checks and (up.trust == 0 or up.trust < rules.security.trust_min):
        return "untrusted"
    if rules.regions and up.reach == "none":
        return "unreachable"
    return "full" if used >= up.slots else None


def open_scores(world: World, rules: Settings, wish: Wish) -> dict[HostId, int]:
    """Host -> score in ppm, of every host open to this map."""
    scores = {}
    for host, up in up_hosts(world).items():
        used = wish.used[host] if wish.used is not None else used_slots(world, rules, host)
        cools = wish.at_ms < wish.cooling.get(host, 0)
        if host_gate(world, rules, host, wish.at_ms, used) or cools or wish.name in up.failed_maps or host in wish.without:
            continue
        scores[host] = score_ppm(up, wish.players, used, rules)
    return scores


def choice(world: World, rules: Settings, wish: Wish, backups: int) -> tuple[list[HostId], int] | None:
    """Primary and backups, and the primary's score in ppm."""
    scores = open_scores(world, rules, wish)
    best = sorted(scores, key=lambda host: (-scores[host], tie_break(wish.name, host)))
    if not best:
        return None
    return [best[0], *next_best(world, wish, scores, best[0], backups)], scores[best[0]]


def next_best(world: World, wish: Wish, scores: Mapping[HostId, int], primary: HostId, wanted: int) -> list[HostId]:
    """Those that share fewest of region and network with the primary come first, then the better score."""
    first = world.hosts[primary].up
    assert first is not None

    def order(host: HostId) -> tuple[int, int, int]:
        up = world.hosts[host].up
        assert up is not None
        shared = (up.region == first.region) + (up.network == first.network)
        return shared, -scores[host], tie_break(wish.name, host)

    return sorted((host for host in scores if host != primary), key=order)[: max(wanted, 0)]


def players_here(world: World, host: HostId) -> int:
    """Of every map it serves, by the assignments."""
    served = [state for state in world.maps.values() if state.assign is not None and state.assign.host == host]
    return sum(sum(state.players.values()) for state in served)


def is_crowded(world: World, host: HostId, state: MapState, percent: int) -> bool:
    """Whether the map, on this host beside what it serves, would take more than percent of its places; one stays free."""
    up = up_hosts(world).get(host)
    if up is None or up.players_max is None:
        return False
    others = players_here(world, host) - (state.player_count if state.assign and state.assign.host == host else 0)
    return others + state.player_count > min(up.players_max - 1, max(1, (up.players_max - 1) * percent // 100))


def refused(world: World, rules: Settings, wish: Wish) -> dict[str, int]:
    """Gate -> hosts that are up and kept out by it; gates of the map are counted beside those of the host."""
    counts: dict[str, int] = {}
    for host, up in up_hosts(world).items():
        gates = [host_gate(world, rules, host, wish.at_ms, used_slots(world, rules, host))]
        gates += ["failed_map"] if wish.name in up.failed_maps else []
        gates += ["cooling"] if wish.at_ms < wish.cooling.get(host, 0) else []
        for gate in gates:
            if gate is not None:
                counts[gate] = counts.get(gate, 0) + 1
    return counts


def score(up: HostUp, players: Mapping[Region, int], used: int, rules: Settings) -> float:
    """The formula of DESIGN section 6 in floats. Every region of `players` measured; disconnects as of the host.up."""
    weights, reference, worst = rules.effective_weights(), rules.scoring.reference, rules.host_requirements.net_max_latency
    lost = sum(up.at_ms - 3_600_000 < when <= up.at_ms for when in up.disconnects_ms)
    total = sum(players.values())
    return (
        weights.cpu * min(1, up.spec.cpu_ghz * up.spec.cpu_cores / reference.cpu_ghz_cores)
        + weights.ram * min(1, up.spec.free_ram_mb / reference.ram_mb)
        + weights.network * min(1, up.spec.net_mbps / reference.net_mbps)
        + weights.latency * sum(n / total * exp(-up.spec.region_rtt_ms[region] / worst) for region, n in players.items())
        + weights.stability * max(0, 1 - lost / (2 * rules.host_requirements.max_disconnects_per_hour))
        - rules.scoring.load_weight * used / up.slots
    )


def breakage(world: World, rules: Settings, state: MapState, at_ms: int, allowed: bool) -> bool:
    """True if the map's last assignment is p2p and does not hold (DESIGN D3)."""
    if state.assign is None or state.assign.host is None:
        return False
    host = state.assign.host
    up = up_hosts(world).get(host)
    moved = state.moved
    last_move_failed = moved is not None and moved.tenure == state.tenure and moved.outcome in ("rolled_back", "vps")
    if up is None or not allowed or last_move_failed or state.name in up.failed_maps:
        return True
    return host_gate(world, rules, host, at_ms, used=-1) in ("draining", "blacklisted")
