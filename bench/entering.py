"""map.enter -> committed map.assign: latency of one, throughput of many. The real scorer beside the bare pipeline."""

import gc
from dataclasses import dataclass
from statistics import median

import psutil

from bench import facts, place
from bench.driver import Driver, driver, messages
from bench.figures import Figure, Target, percentile, rounded
from bench.plan import Plan
from libs.config import load
from libs.events import Event, Fact, MapName, NodeName, Stream, encode
from libs.hosting.effects import Append
from libs.hosting.looks import DecidingCore
from services.scorer.core import Scorer

HOSTS = (200, 1000)
IN_FLIGHT = 256
WARM_UP = 300
LATENCY = Target("at most", 1.5)
THROUGHPUT = Target("at least", 0.6)


@dataclass(frozen=True, slots=True)
class _Run:
    p50_us: float
    p99_us: float
    rate: float
    cpu_us: float


async def entering(plan: Plan) -> list[Figure]:
    figures = []
    for count in HOSTS:
        fleet = list(facts.hosts(facts.host_ids(count)))
        size = assign_bytes(fleet)
        bare: list[_Run] = []
        kafra: list[_Run] = []
        for number in range(plan.repeat):
            plan.say(f"enter, {count} hosts, {number + 1} of {plan.repeat}")
            bare.append(await _run(plan, fleet, "bare", "bench.bare", "pipeline", "{url}", str(size)))
            kafra.append(await _run(plan, fleet, "scorer", "services.scorer"))
        figures += _figures(count, size, kafra, bare)
    return figures


async def _run(plan: Plan, fleet: list[Event], name: str, *argv: str) -> _Run:
    """A fresh server with the fleet in its log, one process on it, all figures of it."""
    async with place.server(fleet) as url:
        argv = tuple(argument.format(url=url) for argument in argv)
        async with place.process(name, *argv, url=url) as process, driver(url) as driving:
            return await _drive(plan, driving, process)


async def _drive(plan: Plan, driving: Driver, process: psutil.Process) -> _Run:
    def enters(prefix: str, count: int) -> list[tuple[str, bytes]]:
        return messages([facts.enter(name, number) for number, name in enumerate(facts.map_names(prefix, count))])

    one_by_one, many = enters("one", plan.count(2_000)), enters("many", plan.count(12_000))
    await driving.rate(enters("warm", WARM_UP), 16)
    gc.collect()
    samples = await driving.latencies_us(one_by_one)
    before_s = place.cpu_s(process)
    rate = await driving.rate(many, IN_FLIGHT)
    cpu_us = (place.cpu_s(process) - before_s) / len(many) * 1e6
    return _Run(percentile(samples, 0.5), percentile(samples, 0.99), rate, cpu_us)


def _figures(count: int, size: int, kafra: list[_Run], bare: list[_Run]) -> list[Figure]:
    return [
        Figure(
            name=f"enter.latency.{count}",
            what=f"map.enter to committed map.assign, one at a time, {count} hosts, p50",
            unit="us",
            kafra=[run.p50_us for run in kafra],
            bare=[run.p50_us for run in bare],
            target=LATENCY,
            bare_is="plain nats-py in the scorer's place, same driver",
            details={
                "kafra_p99_us": rounded(median(run.p99_us for run in kafra)),
                "bare_p99_us": rounded(median(run.p99_us for run in bare)),
                "assign_bytes": size,
            },
        ),
        Figure(
            name=f"enter.throughput.{count}",
            what=f"the same, {IN_FLIGHT} in flight, {count} hosts",
            unit="per s",
            kafra=[run.rate for run in kafra],
            bare=[run.rate for run in bare],
            target=THROUGHPUT,
            bare_is="plain nats-py in the scorer's place, same driver",
            details={
                "kafra_cpu_us_each": rounded(median(run.cpu_us for run in kafra)),
                "bare_cpu_us_each": rounded(median(run.cpu_us for run in bare)),
            },
        ),
    ]


def assign_bytes(fleet: list[Event]) -> int:
    """Size of the map.assign the scorer writes for an enter with this fleet: the bare pipeline writes as much."""
    core = DecidingCore(Scorer(load(None, place.SETTINGS)), name=NodeName("scorer-00000000"), config="0" * 16)
    for seq, event in enumerate(fleet):
        core.on_fact(Fact(Stream.HOSTS, seq + 1, event), facts.AT_MS)
    core.on_fact(Fact(Stream.MAPS, 1, facts.enter(MapName("many_000000"))), facts.AT_MS)
    core.on_caught_up(facts.AT_MS)
    (write,) = core.step(facts.AT_MS)
    assert isinstance(write, Append)
    return len(encode(write.event))
