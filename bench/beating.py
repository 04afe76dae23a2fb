"""Heartbeats: how many a second one registry takes, and what a fleet as large as is planned for costs it.

The registry is a process of its own, as deployed; beside it, in turns, a process of plain nats-py whose callback counts. What
counts is the CPU each used: nats-server and who says the heartbeats use the same machine. Heartbeats are as agents say them,
every value a little different each time.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence

import msgspec
import nats
import psutil
from nats.aio.client import Client
from nats.aio.msg import Msg

from bench import facts, place
from bench.driver import Message, messages
from bench.figures import Bound, Figure, Target
from bench.plan import Plan
from libs.bus.nats import connect
from libs.bus.port import Start
from libs.events import Fact, HostCheckReply, HostDown, HostId, HostMetrics, HostUp, MapName, MapReport, Stream, encode

BEATS = 40_000
HOSTS = 2_000
RATE = Target("at least", 0.5)
IDLE, BUSY = 10_000, 500
IDLE_S, BUSY_S = 5.0, 0.5
LOAD = Bound("at most", 60.0)
WINDOW_S = 15
SETTLE_S = 10
"""Until every host has its orders, and has been echoed a first time."""
WARM_UPS, WARM_UP_S = 3, 0.5
"""A host comes up with its first heartbeat and gets its order after the second."""
SLOT_S = 0.02
WAIT_S = 90
BURST = 4_000
"""Heartbeats said at once; a process that lags behind by seconds takes its server for frozen, as it should."""


async def beating(plan: Plan) -> list[Figure]:
    """Heartbeats of hosts that are up, said as fast as they are taken."""
    count = plan.count(BEATS)
    ids = facts.host_ids(HOSTS)
    noise = random.Random(11)
    plain = {host: facts.metrics(host, 0) for host in ids}
    beats = messages([_noisy(plain[ids[number % HOSTS]], WARM_UPS + number // HOSTS, noise) for number in range(count)])
    kafra, bare = [], []
    for number in range(plan.repeat):
        plan.say(f"heartbeats, {number + 1} of {plan.repeat}")
        async with place.server() as url, place.process("count", "bench.bare", "count", url, url=url) as counting:
            bare.append(count / await _taken(url, counting, beats))
        async with place.server() as url, _registry(url, list(plain.values())) as registry:
            kafra.append(count / await _taken(url, registry, beats))
    what = f"heartbeats of {HOSTS:,} hosts that are up, taken by one registry, per second of its CPU"
    return [Figure("heartbeats", what, "per s", kafra, bare, RATE, bare_is="a process of plain nats-py that counts them")]


async def carrying(plan: Plan) -> list[Figure]:
    """What the largest fleet planned for costs one registry; hosts answer echoes."""
    fleet = _Fleet(plan.count(IDLE), plan.count(BUSY))
    window_s = 3 if plan.quick else WINDOW_S
    log = [facts.assign(name, host, []) for host, name in fleet.serves.items()]
    bare: list[float] = []
    plan.say("fleet, beside a callback that counts")
    async with (
        place.server(log) as url,
        place.process("count", "bench.bare", "count", url, url=url) as counting,
        _beaten(url, fleet),
    ):
        for _ in range(plan.repeat):
            bare.append(await _share(counting, window_s))
    async with place.server(log) as url, place.process("registry", "services.registry", url=url) as registry:
        bus = await connect(url, name="bench")
        watched = _Watched()
        await bus.follow([Stream.HOSTS], watched.on_fact, Start.ALL)
        async with _beaten(url, fleet):
            plan.say(f"fleet, {fleet.size:,} hosts come up")
            await watched.until_up(fleet.size)
            await asyncio.sleep(0 if plan.quick else SETTLE_S)
            before, kafra = watched.facts, []
            for number in range(plan.repeat):
                plan.say(f"fleet, {number + 1} of {plan.repeat}")
                kafra.append(await _share(registry, window_s))
        await bus.close()
    what = f"{fleet.idle:,} hosts that beat every {IDLE_S:g} s and {fleet.busy:,} every {BUSY_S:g} s: CPU of the registry"
    details = {"events_meanwhile": watched.facts - before, "hosts_down": watched.downs}
    bare_is = "a process of plain nats-py that counts them"
    return [Figure("fleet", what, "% of a core", kafra, bare, LOAD, bare_is=bare_is, details=details)]


# What is said.


class _Fleet:
    """Idle hosts, and busy ones that each serve the map they were given. serves: the busy ones -> map, in the log's order."""

    def __init__(self, idle: int, busy: int) -> None:
        self.idle, self.busy, self.size = idle, busy, idle + busy
        ids = facts.host_ids(self.size)
        self.serves = dict(zip(ids[:busy], facts.map_names("map", busy), strict=True))
        reports = {name: MapReport(tenure=number + 1, state="ready") for number, name in enumerate(self.serves.values())}
        self._busy = [_serving(facts.metrics(host, 0), name, reports[name]) for host, name in self.serves.items()]
        self._idle = [facts.metrics(host, 0) for host in ids[busy:]]
        self._noise = random.Random(12)
        self._number = 0

    def slots(self) -> Iterator[list[Message]]:
        """What is said in each SLOT_S, spread evenly, for ever."""
        lanes = [_lane(self._idle, IDLE_S), _lane(self._busy, BUSY_S)]
        while True:
            due = [beat for lane in lanes for beat in next(lane)]
            self._number += 1
            yield messages([_noisy(beat, self._number, self._noise) for beat in due])


def _lane(hosts: Sequence[HostMetrics], interval_s: float) -> Iterator[list[HostMetrics]]:
    at = 0.0
    while True:
        first, at = int(at), at + len(hosts) * SLOT_S / interval_s
        yield [hosts[number % len(hosts)] for number in range(first, int(at))]


def _serving(beat: HostMetrics, name: MapName, report: MapReport) -> HostMetrics:
    return msgspec.structs.replace(beat, maps={name: report})


def _noisy(beat: HostMetrics, number: int, noise: random.Random) -> HostMetrics:
    """As the same machine says it a moment later."""
    assert beat.free_ram_mb is not None
    assert beat.latency_ms is not None
    assert beat.jitter_ms is not None
    return msgspec.structs.replace(
        beat,
        seq=number,
        free_ram_mb=beat.free_ram_mb * noise.uniform(0.995, 1.0),
        latency_ms=beat.latency_ms * noise.uniform(0.98, 1.0),
        jitter_ms=beat.jitter_ms * noise.uniform(0.9, 1.0),
        region_rtt_ms={
            region: (rtt_ms or 0.0) * noise.uniform(0.99, 1.0) for region, rtt_ms in (beat.region_rtt_ms or {}).items()
        },
    )


@contextlib.asynccontextmanager
async def _beaten(url: str, fleet: _Fleet) -> AsyncIterator[None]:
    """The fleet beats meanwhile, and answers echoes."""
    client = await nats.connect(url, pending_size=16 * 1024 * 1024)
    answer = encode(HostCheckReply(proof=""))

    async def on_check(message: Msg) -> None:
        await message.respond(answer)

    await client.subscribe("host.check.*", cb=on_check)
    beating_ = asyncio.ensure_future(_beat(client, fleet))
    try:
        yield
        if beating_.done():
            beating_.result()
    finally:
        beating_.cancel()
        await asyncio.gather(beating_, return_exceptions=True)
        await client.close()


async def _beat(client: Client, fleet: _Fleet) -> None:
    next_s = time.perf_counter()
    for slot in fleet.slots():
        for subject, body in slot:
            await client.publish(subject, body)
        next_s += SLOT_S
        await asyncio.sleep(max(0.0, next_s - time.perf_counter()))


# Who hears it.


class _Watched:
    """HOSTS as it grows."""

    def __init__(self) -> None:
        self.facts = self.downs = 0
        self._up: set[HostId] = set()
        self._news = asyncio.Event()

    def on_fact(self, fact: Fact) -> None:
        self.facts += 1
        if isinstance(fact.event, HostUp):
            self._up.add(fact.event.host)
            self._news.set()
        elif isinstance(fact.event, HostDown):
            self.downs += 1

    async def until_up(self, count: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while len(self._up) < count:
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def _registry(url: str, hosts: Sequence[HostMetrics]) -> AsyncIterator[psutil.Process]:
    """A registry process in whose log these hosts are up, and which has said to them what was to be said."""
    async with place.process("registry", "services.registry", url=url) as registry:
        bus = await connect(url, name="bench")
        watched = _Watched()
        await bus.follow([Stream.HOSTS], watched.on_fact, Start.ALL)
        for number in range(WARM_UPS):
            for beat in hosts:
                bus.say(msgspec.structs.replace(beat, seq=number))
            await watched.until_up(len(hosts))
            await asyncio.sleep(WARM_UP_S)
        await bus.close()
        yield registry


async def _taken(url: str, by: psutil.Process, beats: Sequence[Message]) -> float:
    """Seconds of CPU until all are heard. After each burst a stranger beats: who shows that it was heard has heard all before
    it, one connection, one order."""
    client = await nats.connect(url, pending_size=64 * 1024 * 1024)
    heard: set[str] = set()
    news = asyncio.Event()

    async def on_heard(message: Msg) -> None:
        heard.add(message.subject.rpartition(".")[2])
        news.set()

    await client.subscribe("host.heard.*", cb=on_heard)
    await client.subscribe("host.up.*", cb=on_heard)
    started_s = place.cpu_s(by)
    async with asyncio.timeout(WAIT_S):
        for first in range(0, len(beats), BURST):
            stranger = HostId(f"last_{first}")
            for subject, body in (*beats[first : first + BURST], *messages([facts.metrics(stranger, 0)])):
                await client.publish(subject, body)
            while stranger not in heard:
                news.clear()
                await news.wait()
    seconds = place.cpu_s(by) - started_s
    await client.close()
    return seconds


async def _share(of: psutil.Process, window_s: float) -> float:
    """CPU used within the window, % of a core."""
    used_s, started_s = place.cpu_s(of), time.perf_counter()
    await asyncio.sleep(window_s)
    return 100 * (place.cpu_s(of) - used_s) / (time.perf_counter() - started_s)
