"""Made-up hosts, maps and players, the same in every run. Pure."""

import random
from collections.abc import Iterator, Sequence

from libs.events import (
    Basis,
    Candidate,
    Cause,
    Event,
    HostDown,
    HostId,
    HostMetrics,
    HostSpec,
    HostUp,
    HostVerdict,
    MapAssign,
    MapCensus,
    MapEnter,
    MapName,
    NodeName,
    Region,
    Terms,
)

AT_MS = 1_790_000_000_000
REGIONS = tuple(Region(name) for name in ("eu", "us", "br", "asia"))


def host_ids(count: int) -> list[HostId]:
    return [HostId(f"host_{number:05}") for number in range(count)]


def map_names(prefix: str, count: int) -> list[MapName]:
    return [MapName(f"{prefix}_{number:06}") for number in range(count)]


def hosts(ids: Sequence[HostId], slots: int = 256, ready: Sequence[MapName] = ()) -> Iterator[Event]:
    """host.up and host.verdict of each, no two alike; `ready`: maps that each has started."""
    chance = random.Random(7)
    for number, host in enumerate(ids):
        yield HostUp(
            host=host,
            account_id=number + 1,
            at_ms=AT_MS,
            spec=_spec(chance),
            region=chance.choice(REGIONS),
            network=f"net_{number % 997:04}",
            reach="direct",
            disconnects_ms=[],
            slots=slots,
            draining=False,
            trust=0.9,
            ready_maps=list(ready),
            failed_maps=[],
        )
        yield HostVerdict(
            host=host,
            at_ms=AT_MS,
            kind="presence",
            verdict="pass",
            strikes=0,
            blacklisted_until_ms=None,
            trust=0.9,
            checks={"presence": AT_MS, "cpu": AT_MS},
            evidence={},
        )


def _spec(chance: random.Random) -> HostSpec:
    return HostSpec(
        cpu_ghz=chance.uniform(3.0, 5.0),
        cpu_cores=chance.choice((4, 6, 8, 12, 16)),
        free_ram_mb=chance.uniform(8_192, 32_768),
        net_mbps=chance.uniform(100, 1_000),
        latency_ms=chance.uniform(2, 30),
        jitter_ms=chance.uniform(0, 15),
        packet_rate=chance.uniform(100, 2_000),
        region_rtt_ms={region: chance.uniform(2, 120) for region in REGIONS},
    )


def down(host: HostId) -> HostDown:
    return HostDown(host=host, at_ms=AT_MS, reason="silent", detail="bench", disconnects_ms=[AT_MS])


def metrics(host: HostId, number: int) -> HostMetrics:
    """An idle host's heartbeat; only its number and time change."""
    spec = _spec(random.Random(host))
    return HostMetrics(
        host=host,
        account_id=1,
        at_ms=AT_MS + 5_000 * number,
        seq=number,
        address="203.0.113.7",
        port=5121,
        region=REGIONS[0],
        cpu_ghz=spec.cpu_ghz,
        cpu_cores=spec.cpu_cores,
        free_ram_mb=spec.free_ram_mb,
        net_mbps=spec.net_mbps,
        latency_ms=spec.latency_ms,
        jitter_ms=spec.jitter_ms,
        packet_rate=spec.packet_rate,
        region_rtt_ms=dict(spec.region_rtt_ms),
        maps={},
        bundle=None,
        leaving=False,
    )


def enter(name: MapName, number: int = 0) -> MapEnter:
    return MapEnter(
        map=name,
        account_id=2_000_000 + number,
        char_id=150_000 + number,
        at_ms=AT_MS,
        region=REGIONS[number % len(REGIONS)],
        from_map=MapName("prontera"),
        x=150,
        y=180,
    )


def census(name: MapName) -> MapCensus:
    return MapCensus(map=name, at_ms=AT_MS, players={REGIONS[0]: 3, REGIONS[1]: 1})


def assign(name: MapName, host: HostId, backups: Sequence[HostId]) -> MapAssign:
    return MapAssign(
        map=name,
        kind="p2p",
        host=host,
        backups=list(backups),
        reason="enter",
        tenure=None,
        since_ms=AT_MS,
        cause=Cause(stream="MAPS", seq=1),
        basis=Basis(1, 1, 0),
        decider=NodeName("bench"),
        look="bench.0",
        config="0" * 16,
        score=0.5,
        candidates=[Candidate(HostId(f"host_{rank:05}"), 0.5, Terms(0.5, 0.5, 0.5, 0.5, 0.5, 0.5)) for rank in range(8)],
        refused={},
        at_ms=AT_MS,
    )
