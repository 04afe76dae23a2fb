"""map.enter -> committed map.assign: latency of one, throughput of many. The real scorer beside the bare pipeline."""

import contextlib
import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from statistics import median

import psutil

from bench import facts, place
from bench.driver import Driver, Message, driver, messages
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
ONE_BY_ONE, MANY, BLOCKS = 2_000, 12_000, 10
LATENCY = Target("at most", 1.5)
THROUGHPUT = Target("at least", 0.6)


@dataclass(frozen=True, slots=True)
class _Run:
    p50_us: float
    p99_us: float
    rate: float
    cpu_us: float


@dataclass(slots=True)
class _Lane:
    """One process on its own server. samples_us: of enters one at a time; of many: how many, s they took, s of CPU."""

    driving: Driver
    process: psutil.Process
    samples_us: list[float] = field(default_factory=list)
    many: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0

    async def warm_up(self) -> None:
        await self.driving.rate(_enters("warm", 0, WARM_UP), 16)

    async def one_by_one(self, block: int, count: int) -> None:
        self.samples_us += await self.driving.latencies_us(_enters("one", block, count))

    async def all_at_once(self, block: int, count: int) -> None:
        enters = _enters("many", block, count)
        before_s = place.cpu_s(self.process)
        self.seconds += count / await self.driving.rate(enters, IN_FLIGHT)
        self.cpu_s += place.cpu_s(self.process) - before_s
        self.many += count

    def run(self) -> _Run:
        p50_us, p99_us = percentile(self.samples_us, 0.5), percentile(self.samples_us, 0.99)
        return _Run(p50_us, p99_us, self.many / self.seconds, self.cpu_s / self.many * 1e6)


async def entering(plan: Plan) -> list[Figure]:
    figures = []
    for count in HOSTS:
        fleet = list(facts.hosts(facts.host_ids(count)))
        size = assign_bytes(fleet)
        bare: list[_Run] = []
        kafra: list[_Run] = []
        for number in range(plan.repeat):
            plan.say(f"enter, {count} hosts, {number + 1} of {plan.repeat}")
            for runs, run in zip((bare, kafra), await _pair(plan, fleet, size), strict=True):
                runs.append(run)
        figures += _figures(count, size, kafra, bare)
    return figures


async def _pair(plan: Plan, fleet: list[Event], size: int) -> tuple[_Run, _Run]:
    """Bare and Kafra, in turns: what else the machine does falls on both alike. Who is not asked stands idle."""
    async with _lane(fleet, "bare", "bench.bare", "pipeline", "{url}", str(size)) as bare, _lane(fleet) as kafra:
        await bare.warm_up()
        await kafra.warm_up()
        gc.collect()
        for block in range(BLOCKS):
            for lane in _in_turns(block, bare, kafra):
                await lane.one_by_one(block, plan.count(ONE_BY_ONE) // BLOCKS)
        for block in range(BLOCKS):
            for lane in _in_turns(block, bare, kafra):
                await lane.all_at_once(block, plan.count(MANY) // BLOCKS)
        return bare.run(), kafra.run()


@contextlib.asynccontextmanager
async def _lane(fleet: list[Event], name: str = "scorer", *argv: str) -> AsyncIterator[_Lane]:
    """On a fresh server with the fleet in its log. argv: of the process; else the scorer's."""
    async with place.server(fleet) as url:
        words = tuple(argument.format(url=url) for argument in argv) or ("services.scorer",)
        async with place.process(name, *words, url=url) as process, driver(url) as driving:
            yield _Lane(driving, process)


def _in_turns(block: int, *lanes: _Lane) -> tuple[_Lane, ...]:
    """Neither is always the first."""
    return lanes if block % 2 else lanes[::-1]


def _enters(prefix: str, block: int, count: int) -> list[Message]:
    names = facts.map_names(f"{prefix}{block}", count)
    return messages([facts.enter(name, number) for number, name in enumerate(names)])


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
    core.on_fact(Fact(Stream.MAPS, 1, facts.enter(MapName("many0_000000"))), facts.AT_MS)
    core.on_caught_up(facts.AT_MS)
    (write,) = core.step(facts.AT_MS)
    assert isinstance(write, Append)
    return len(encode(write.event))
