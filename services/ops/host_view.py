"""What `kafra hosts` shows: one row a host, its state, why it is not eligible, what it measured and how long ago. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from libs.bundle.refusal import Lack
from libs.config import Settings
from libs.events import Fact, HostId, HostMetrics
from libs.hosting.eligibility import accepted_spec, disconnects_last_hour, standing_gate, unmet_requirements
from libs.hosting.room import players_on, room_gate
from libs.hosting.score import PPM, score_ppm
from libs.hosting.states import HostState, standing_of
from libs.hosting.world import Host, World

Row = dict[str, Any]
Heartbeats = Mapping[HostId, Fact]
"""Host -> its last heartbeat, as METRICS keeps it."""
MEASURED = ("cpu_ghz", "cpu_cores", "free_ram_mb", "net_mbps", "latency_ms", "jitter_ms", "packet_rate", "region_rtt_ms")


def host_rows(world: World, heartbeats: Heartbeats, settings: Settings, now_ms: int) -> list[Row]:
    """Those that are up first. Known is who was ever up, judged or heard."""
    known = {host.id for host in world.hosts.values() if host.up or host.down or host.verdict or host.enrolled}
    rows = [_host_row(world, world.host(host), heartbeats.get(host), settings, now_ms) for host in known | set(heartbeats)]
    return sorted(rows, key=lambda row: (not row["up"], row["host"]))


def last_heartbeats(facts: Iterable[Fact]) -> dict[HostId, Fact]:
    """The last of each host."""
    return {fact.event.host: fact for fact in facts if isinstance(fact.event, HostMetrics)}


def _host_row(world: World, host: Host, heartbeat: Fact | None, settings: Settings, now_ms: int) -> Row:
    up = host.up
    used = world.used_slots(host.id, settings.failover.warm_backups)
    metrics = heartbeat.event if heartbeat is not None and isinstance(heartbeat.event, HostMetrics) else None
    age_ms = max(0, now_ms - heartbeat.stored_ms) if heartbeat is not None else None
    state = standing_of(host, world, now_ms, suspect=_is_overdue(world, host, age_ms, settings)).state
    return {
        "host": host.id,
        "state": str(state),
        "up": host.is_up,
        "why": _why(host, state, metrics, age_ms, settings, now_ms) or (_crowded(world, host) if host.is_up else ""),
        "region": up.region if up else metrics.region if metrics else None,
        "account_id": up.account_id if up else None,
        "serves": sorted(world.serving.get(host.id, ())),
        "backs": sorted(world.backing.get(host.id, {})),
        "used_slots": used,
        "slots": up.slots if up else 0,
        "players": players_on(world, host.id),
        "players_max": up.players_max if up else None,
        "score": score_ppm(up, {}, used, settings) / PPM if up and host.is_up else None,
        "trust": host.verdict.trust if host.verdict else 0.0,
        "strikes": host.verdict.strikes if host.verdict else 0,
        "disconnects_last_hour": disconnects_last_hour(host.disconnects_ms, now_ms),
        "ready_maps": up.ready_maps if up and host.is_up else [],
        "failed_maps": up.failed_maps if up and host.is_up else [],
        "spec": msgspec.to_builtins(up.spec) if up else None,
        "measured": {name: getattr(metrics, name) for name in MEASURED} if metrics else None,
        "measured_age_ms": age_ms,
        "bundle": metrics.bundle if metrics else None,
        "bundle_refused": metrics.bundle_refused if metrics else None,
        "since_ms": (up.at_ms if up else None) if host.is_up else (host.down.at_ms if host.down else None),
    }


def _crowded(world: World, host: Host) -> str:
    """Why a map that one player enters would not come here; empty where it might."""
    if host.up is None or (gate := room_gate(world, host.id, 1)) is None:
        return ""
    return f"not eligible: {gate}, {players_on(world, host.id)} of at most {host.up.players_max} players are here"


def _lack(metrics: HostMetrics | None) -> str | None:
    """Why it says that it can serve no map."""
    if metrics is None or not metrics.leaving or (refused := metrics.bundle_refused) is None:
        return None
    return refused if metrics.bundle is None or Lack.begins(refused) else None


def _is_overdue(world: World, host: Host, age_ms: int | None, settings: Settings) -> bool:
    """Its heartbeat is late by more than a suspicion; not where nobody keeps heartbeats."""
    busy = bool(world.serving.get(host.id)) or bool(world.backing.get(host.id))
    interval_ms = settings.monitoring.heartbeat_busy_ms if busy else settings.monitoring.heartbeat_idle_ms
    return age_ms is not None and age_ms > interval_ms + settings.failover.suspicion_ms


def _why(host: Host, state: HostState, metrics: HostMetrics | None, age_ms: int | None, settings: Settings, now_ms: int) -> str:
    """Why it gets no map; empty where it may."""
    if state is HostState.SUSPECT:
        return f"nothing heard for {age_ms} ms"
    if host.is_up:
        gate = standing_gate(host, settings, now_ms)
        return "" if gate is None else f"not eligible: {gate}"
    if (lack := _lack(metrics)) is not None:
        return f"it can serve no map: {lack}"
    if host.down is not None:
        return f"{host.down.reason}: {host.down.detail}"
    if host.excluded(now_ms):
        return "excluded by a verdict or a ban"
    if host.enrolled is not None and host.enrolled.key is None:
        return "removed by the operator"
    if metrics is None:
        return "never heard"
    if host.enrolled is not None and host.enrolled.account_id != metrics.account_id:
        return f"enrolled for account {host.enrolled.account_id}, says {metrics.account_id}"
    spec, rules = accepted_spec(metrics, settings.host_requirements), settings.host_requirements
    unmet = unmet_requirements(spec, disconnects_last_hour(host.disconnects_ms, now_ms), rules)
    return "; ".join(map(str, unmet)) or "never was up"
