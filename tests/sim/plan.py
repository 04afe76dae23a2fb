"""What one seed means: how large the world is, which settings it runs under, how bad its network is, what fails how often.

Everything is drawn anew for each seed, each thing often left out altogether ("swizzled"): a fault that hides another, or a
setting that makes a defect impossible, is absent in many runs. Times are short, so that a minute shows much.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from libs.config import Settings
from libs.events import MapName, Region
from tests.sim.clock import MS
from tests.sim.network import Weather

ELIGIBLE, NEVER = "fld_*", "fld_x*"
FAULTS: dict[str, tuple[float, float]] = {
    "service_crash": (4, 30),
    "service_pause": (3, 30),
    "service_cut": (3, 30),
    "service_stall": (3, 30),
    "holder_stall": (3, 20),
    "holder_pause": (3, 20),
    "bridge_cut": (5, 30),
    "nats_restart": (8, 40),
    "host_crash": (2, 20),
    "host_leave": (3, 30),
    "host_cut": (2, 20),
    "host_stall": (2, 20),
    "host_pause": (3, 20),
    "host_sick": (3, 20),
    "map_crash": (2, 20),
    "group_cut": (10, 40),
    "link_lost": (5, 30),
    "drain": (5, 30),
    "ban": (8, 40),
}
"""Fault -> shortest and longest mean time between two of its kind, seconds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Durations in virtual time. every_s: fault -> mean time between two; absent: never. limits: what hosts may say
    as `players_max`. offsets_ms: clocks of services."""

    seed: int
    settings: Settings
    hosts: int
    maps: list[MapName]
    regions: list[Region]
    players: int
    enters_per_s: float
    duration_s: int
    replicas: dict[str, int]
    weather: Weather
    every_s: dict[str, float]
    host_fails: float
    move_fails: float
    cheats: float
    limits: tuple[int | None, ...]
    settle_ms: int
    lease_ttl_ms: int
    skew_ms: int


def plan_for(seed: int) -> Plan:
    rng = random.Random(f"plan {seed}")
    calm = rng.random() < 0.15
    regions = [Region(name) for name in ("eu", "na", "asia", "sa")[: rng.randint(1, 4)]]
    return Plan(
        seed=seed,
        settings=_settings(rng, regions),
        hosts=rng.choice((rng.randint(3, 10), rng.randint(3, 20), rng.randint(10, 30))),
        maps=list(_maps(rng, rng.choice((rng.randint(5, 20), rng.randint(5, 60))))),
        regions=regions,
        players=rng.randint(3, 80),
        enters_per_s=rng.uniform(1, 20),
        duration_s=rng.choice((8, 12, 16, 25)),
        replicas={name: rng.choice((1, 2, 2, 2, 3)) for name in ("registry", "scorer", "failover", "validator")},
        weather=_weather(rng, calm),
        every_s={} if calm else {name: rng.uniform(*mean) for name, mean in FAULTS.items() if rng.random() < 0.5},
        host_fails=0.0 if calm else rng.choice((0.0, 0.02, 0.2)),
        move_fails=0.0 if calm else rng.choice((0.0, 0.02, 0.2)),
        cheats=0.0 if calm else rng.choice((0.0, 0.0, 0.15)),
        limits=rng.choice(((None,), (None, None, 2, 4, 7), (1, 3, 5, 9, 13))),
        settle_ms=rng.choice((1_500, 5_000, 30_000)),
        lease_ttl_ms=rng.choice((1_000, 2_000)),
        skew_ms=rng.choice((0, 25)),
    )


def _maps(rng: random.Random, count: int) -> Iterator[MapName]:
    for number in range(count):
        kind = rng.choices(("fld_", "fld_x", "town_"), (80, 10, 10))[0]
        yield MapName(f"{kind}{number:02d}")


def _weather(rng: random.Random, calm: bool) -> Weather:
    slow_ms = 5 if calm else rng.choice((5, 50, 300))
    return Weather(
        delay_us=(100, rng.choice((500, 2_000, 10_000))),
        slow_us=slow_ms * MS,
        loss=0.0 if calm else rng.choice((0.0, 0.0, 0.01, 0.05)),
        append_loss=0.0 if calm else rng.choice((0.0, 0.01, 0.1)),
        lag_us=rng.choice((0, 2, 20, 0 if calm else 200)) * MS,
    )


def _settings(rng: random.Random, regions: list[Region]) -> Settings:
    """Short times; every switch is sometimes the other way. Keys as in conf/p2p_map_config.conf."""
    often = lambda share: rng.random() < share  # noqa: E731 - reads as a word below
    backups = rng.choice((0, 1, 2, 2, 3))
    busy_ms = rng.choice((200, 300, 500))
    silence_ms = rng.choice((1_200, 1_500, 2_500))
    fallback = often(0.9)
    values: dict[str, Any] = {
        "general": {
            "enable_p2p_maps": often(0.97),
            "prefer_low_latency": often(0.8),
            "enable_auto_migration": often(0.85),
            "enable_vps_fallback": fallback,
            "enable_p2p_security_checks": often(0.7),
            "persistent_hosts": often(0.8),
        },
        "host_requirements": {
            "max_disconnects_per_hour": rng.choice((1, 3, 50)),
            "slots_per_core": rng.choice((0.25, 0.5, 1.0)),
            "slots_max": rng.choice((2, 4, 16)),
        },
        "maps": {"eligible": {"field": [ELIGIBLE]}, "never": [NEVER]},
        "failover": {
            "backup_hosts_count": backups,
            "warm_backups": rng.randint(0, min(backups, 2)),
            "start_timeout": rng.choice((4, 6, 60)),
            "silence_ms": silence_ms,
            "suspicion_ms": rng.choice((500, 1_000)),
            "mass_death_hold_ms": rng.choice((0, 1_000, 3_000)),
            "refill_interval_s": rng.choice((1, 2, 10)),
        },
        "rebalance": {
            "threshold": rng.choice((1.01, 1.1, 2)),
            "min_dwell_s": rng.choice((0, 3, 300)),
            "cool_down_s": rng.choice((0, 2, 5) if fallback else (2, 5)),  # 0 and nobody else: the same host again, at once
            "max_moves_per_minute": rng.choice((0, 5, 100)),
            "idle_after_s": rng.choice((2, 5, 300)),
        },
        "monitoring": {"heartbeat_busy_ms": busy_ms, "heartbeat_idle_ms": rng.choice((busy_ms, 1_000, 3_000))},
        "security": {
            "check_interval_s": rng.choice((1, 3, 10)),
            "check_timeout_ms": rng.choice((300, 1_000)),
            "strikes_max": rng.choice((1, 2, 3)),
            "blacklist_s": rng.choice((2, 5, 3600)),
            "trust_min": rng.choice((0.0, 0.2, 0.5)),
        },
        "regions": dict.fromkeys(regions, "127.0.0.1:5121") if often(0.5) else {},
    }
    return Settings.from_public(values)
