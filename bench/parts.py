"""Parts of the pipeline beside the bare client: writing, following, hearing heartbeats. Informative: no targets."""

import asyncio
import time
from collections.abc import Callable, Sequence

import nats
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from bench import facts, place
from bench.bare import Writer
from bench.driver import Message, messages
from bench.figures import Figure
from bench.plan import Plan
from libs.bus.nats import connect
from libs.bus.port import Start
from libs.config import load
from libs.events import Event, Fact, HostMetrics, NodeName, Stream
from libs.hosting.effects import Append, Committed, Outcome
from libs.runtime.clock import Clock
from libs.runtime.shell import Shell
from libs.runtime.telemetry import Counters, start_telemetry
from services.registry.core import Registry

WRITES = 20_000
MESSAGES = 50_000
BEATS = 40_000
HOSTS = 1_000
WAIT_S = 60
PACE = 100
BACKLOG = 2_000
"""Heartbeats said and not yet heard; beyond it the sayer waits, so that nothing is dropped."""


async def submitting(plan: Plan) -> list[Figure]:
    """Compare-and-set writes of map.assign, as many in flight as each allows."""
    count = plan.count(WRITES)
    host, *others = facts.host_ids(3)
    kafra, bare = [], []
    for number in range(plan.repeat):
        plan.say(f"submit, {number + 1} of {plan.repeat}")
        async with place.server() as url:
            events = [facts.assign(name, host, others) for name in facts.map_names("bare", count)]
            bare.append(count / await _write_bare(url, messages(events)))
            events = [facts.assign(name, host, others) for name in facts.map_names("kafra", count)]
            kafra.append(count / await _write(url, events))
    return [Figure("submit", "compare-and-set writes of map.assign, pipelined, events encoded by Kafra", "per s", kafra, bare)]


async def _write(url: str, events: Sequence[Event]) -> float:
    bus = await connect(url, name="bench")
    done = asyncio.Event()
    left = len(events)

    def on_settled(_: Append, outcome: Outcome) -> None:
        nonlocal left
        assert isinstance(outcome, Committed), outcome
        left -= 1
        if not left:
            done.set()

    started_s = time.perf_counter()
    for event in events:
        bus.submit(Append(event, 0), on_settled)
    await asyncio.wait_for(done.wait(), WAIT_S)
    seconds = time.perf_counter() - started_s
    await bus.close()
    return seconds


async def _write_bare(url: str, writes: Sequence[Message]) -> float:
    client = await nats.connect(url)
    writer = Writer(client)
    await writer.open()
    started_s = time.perf_counter()
    for subject, body in writes:
        await writer.write(subject, body, "map.assign/1")
    await writer.settled()
    seconds = time.perf_counter() - started_s
    await client.close()
    return seconds


async def following(plan: Plan) -> list[Figure]:
    """A stream from its beginning."""
    count = plan.count(MESSAGES)
    kafra, bare = [], []
    async with place.server(facts.census(name) for name in facts.map_names("map", count)) as url:
        for number in range(plan.repeat):
            plan.say(f"follow, {number + 1} of {plan.repeat}")
            bare.append(count / await _follow_bare(url, count))
            kafra.append(count / await _follow(url))
    return [Figure("follow", "map.census from the beginning of the stream, decoded by Kafra", "per s", kafra, bare)]


async def _follow(url: str) -> float:
    bus = await connect(url, name="bench")

    def on_fact(_: Fact) -> None:
        pass

    started_s = time.perf_counter()
    follower = await bus.follow([Stream.MAPS], on_fact, Start.ALL)
    await follower.caught_up(WAIT_S)
    seconds = time.perf_counter() - started_s
    await bus.close()
    return seconds


async def _follow_bare(url: str, count: int) -> float:
    client = await nats.connect(url)
    done, seen = asyncio.Event(), 0

    async def on_message(_: Msg) -> None:
        nonlocal seen
        seen += 1
        if seen == count:
            done.set()

    started_s = time.perf_counter()
    config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
    await client.jetstream().subscribe("map.census.*", cb=on_message, ordered_consumer=True, config=config)
    await asyncio.wait_for(done.wait(), WAIT_S)
    seconds = time.perf_counter() - started_s
    await client.close()
    return seconds


async def hearing(plan: Plan) -> list[Figure]:
    """Heartbeats through the registry's core, beside a callback of nats-py that counts. Said by this process in both."""
    count, ids = plan.count(BEATS), facts.host_ids(HOSTS)
    beats = messages([facts.metrics(ids[number % HOSTS], number // HOSTS) for number in range(count)])
    kafra, bare = [], []
    for number in range(plan.repeat):
        plan.say(f"heartbeats, {number + 1} of {plan.repeat}")
        async with place.server() as url:
            bare.append(count / await _hear_bare(url, beats))
        async with place.server() as url:
            kafra.append(count / await _hear(url, beats))
    what = f"host.metrics of {HOSTS} hosts, judged by the registry, its facts and orders written"
    return [Figure("heartbeats", what, "per s", kafra, bare, bare_is="a callback of plain nats-py that counts")]


async def _hear(url: str, beats: Sequence[Message]) -> float:
    bus = await connect(url, name="registry-00000000")
    clock, counters = Clock(), Counters()
    registry = Registry(load(None, place.SETTINGS), name=NodeName(bus.name), started_ms=clock.now_ms())
    shell = Shell(registry, bus, clock, counters, start_telemetry("registry", bus.name, counters, 10))
    await bus.hear(HostMetrics, shell.on_heard)
    follower = await bus.follow([Stream.HOSTS, Stream.ASSIGNMENTS], shell.on_fact, Start.LAST_PER_SUBJECT)
    await follower.caught_up(WAIT_S)
    shell.on_caught_up()
    registry.on_lease(1, clock.now_ms())
    seconds = await _say(url, beats, lambda: counters.heard)
    shell.stop()
    await bus.close()
    return seconds


async def _hear_bare(url: str, beats: Sequence[Message]) -> float:
    client = await nats.connect(url)
    seen = 0

    async def on_beat(_: Msg) -> None:
        nonlocal seen
        seen += 1

    await client.subscribe("host.metrics.*", cb=on_beat)
    await client.flush()
    seconds = await _say(url, beats, lambda: seen)
    await client.close()
    return seconds


async def _heard(heard: Callable[[], int], wanted: int) -> None:
    while heard() < wanted:  # noqa: ASYNC110 - nobody to set an event on the hot path: it would be part of the figure
        await asyncio.sleep(0)


async def _say(url: str, beats: Sequence[Message], heard: Callable[[], int]) -> float:
    """Seconds until all have been heard."""
    client = await nats.connect(url)
    started_s = time.perf_counter()
    async with asyncio.timeout(WAIT_S):
        for number, (subject, body) in enumerate(beats):
            await client.publish(subject, body)
            if number % PACE == 0:
                await _heard(heard, number - BACKLOG)
        await _heard(heard, len(beats))
    seconds = time.perf_counter() - started_s
    await client.close()
    return seconds
