"""services/registry: what of a steady host is said again, and what is not."""

import random
from typing import Any

from tests.unit.builders import assign
from tests.unit.registry_bench import (
    BUSY_MS,
    IDLE_MS,
    Bench,
    metrics,
    report,
)


def test_ten_thousand_steady_hosts_say_nothing_new_in_a_minute() -> None:
    """Many of them just at a gate."""
    rng = random.Random(4)
    bench = Bench(monitoring={"heartbeat_idle_ms": 5_000, "heartbeat_busy_ms": BUSY_MS})
    machines: list[dict[str, Any]] = [
        {
            "cpu_ghz": rng.choice((3.0, rng.uniform(3.0, 5.0))),
            "cpu_cores": rng.choice((4, 6, 8, 12, 16)),
            "free_ram_mb": rng.choice((8_192.0, rng.uniform(8_192, 40_000))),
            "net_mbps": rng.choice((100.0, rng.uniform(100, 1_000))),
            "latency_ms": rng.choice((30.0, rng.uniform(2, 30))),
            "jitter_ms": rng.choice((15.0, rng.uniform(0.5, 15))),
            "packet_rate": rng.uniform(100, 3_000),
            "region_rtt_ms": {"eu": rng.uniform(2, 60), "us": rng.uniform(60, 160)},
        }
        for _ in range(10_000)
    ]

    def noisy(machine: dict[str, Any]) -> dict[str, Any]:
        """Clock and throughput within 1 %, memory within 2 %, times within 3 %: as a machine left alone measures."""
        near = lambda value, share: value * rng.uniform(1 - share, 1 + share)  # noqa: E731 - reads as a word below
        return machine | {
            "cpu_ghz": near(machine["cpu_ghz"], 0.01),
            "free_ram_mb": near(machine["free_ram_mb"], 0.02),
            "net_mbps": near(machine["net_mbps"], 0.01),
            "latency_ms": near(machine["latency_ms"], 0.03),
            "jitter_ms": near(machine["jitter_ms"], 0.03),
            "packet_rate": near(machine["packet_rate"], 0.01),
            "region_rtt_ms": {region: near(ms, 0.03) for region, ms in machine["region_rtt_ms"].items()},
        }

    for number, machine in enumerate(machines):
        bench.registry.on_heard(metrics(f"h{number}", seq=1, **machine), bench.now_ms)
    bench.wait(5_000)
    assert len(bench.ups) == len(bench.written) == 10_000
    for beat in range(60_000 // 5_000):
        for number, machine in enumerate(machines):
            bench.registry.on_heard(metrics(f"h{number}", seq=2 + beat, **noisy(machine)), bench.now_ms)
        bench.wait(5_000)

    assert [write.event for write in bench.written[10_000:]] == []


def test_a_gate_is_crossed_with_five_percent_to_spare() -> None:
    bench = Bench()
    bench.beat(net_mbps=100.0)

    for net_mbps in (99.0, 96.0, 95.1, 100.0, 95.1):
        bench.beat(net_mbps=net_mbps)
    assert bench.downs == []
    bench.beat(net_mbps=94.9)
    bench.beat(net_mbps=99.9)

    assert len(bench.ups) == 1
    assert len(bench.downs) == 1


def test_a_host_that_serves_is_ordered_to_beat_fast_and_one_that_does_not_slowly() -> None:
    bench = Bench()
    bench.beat()
    assert bench.orders[-1].interval_ms == IDLE_MS

    bench.log.say(assign("m1", "h1"))
    bench.step()
    bench.beat(maps={"m1": report()})

    assert bench.orders[-1].interval_ms == BUSY_MS
