"""Parts of the pipeline beside the bare client: writing, following. Informative: no targets."""

import asyncio
import time
from collections.abc import Sequence

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
from libs.events import Event, Fact, Stream
from libs.hosting.effects import Append, Committed, Outcome

WRITES = 20_000
MESSAGES = 50_000
WAIT_S = 60


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
