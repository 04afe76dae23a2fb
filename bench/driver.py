"""The same driver for Kafra and for the bare pipeline: publishes map.enter, waits for the committed map.assign.

Plain nats-py; what it costs itself is in both figures alike. One connection, an ordered consumer on map.assign.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from bench.bare import Writer
from libs.events import Event, encode, subject_of

WAIT_S = 60
"""For all of a measurement; beyond it something is broken, not slow."""
Message = tuple[str, bytes]


class Driver:
    """`seen`: committed assignments so far. Opened before the first measurement."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._writer = Writer(client)
        self.seen = 0
        self._wanted = 0
        self._reached = asyncio.Event()
        self._news: asyncio.Event | None = None

    async def open(self) -> None:
        await self._writer.open()
        config = ConsumerConfig(deliver_policy=DeliverPolicy.NEW)
        js = self._client.jetstream()
        await js.subscribe("map.assign.*", cb=self._on_assign, ordered_consumer=True, config=config)
        await self._client.flush()

    async def latencies_us(self, enters: Sequence[Message]) -> list[float]:
        """One after the other: from publishing each until its assignment is seen."""
        samples = []
        async with asyncio.timeout(WAIT_S):
            for enter in enters:
                self._want(1)
                started_s = time.perf_counter()
                await self._publish(enter)
                await self._reached.wait()
                samples.append((time.perf_counter() - started_s) * 1e6)
        await self._writer.settled()
        self._check()
        return samples

    async def rate(self, enters: Sequence[Message], in_flight: int) -> float:
        """Assignments seen per second while at most `in_flight` enters wait for theirs."""
        first, news = self.seen, asyncio.Event()
        self._want(len(enters))
        self._news = news
        started_s = time.perf_counter()
        async with asyncio.timeout(WAIT_S):
            for number, enter in enumerate(enters):
                while number - (self.seen - first) >= in_flight:
                    news.clear()
                    await news.wait()
                await self._publish(enter)
            await self._reached.wait()
        seconds = time.perf_counter() - started_s
        self._news = None
        await self._writer.settled()
        self._check()
        return len(enters) / seconds

    async def burst_ms(self, message: Message, expected: int | None, assignments: int) -> float:
        """From publishing one message until that many assignments are seen."""
        self._want(assignments)
        started_s = time.perf_counter()
        await self._writer.write(*message, schema=_schema(message[0]), expected=expected)
        async with asyncio.timeout(WAIT_S):
            await self._reached.wait()
        return (time.perf_counter() - started_s) * 1000

    async def written_ms(self, writes: Sequence[Message]) -> tuple[float, float]:
        """The bare burst: all written by this very process; until all are acknowledged, and until all are seen."""
        self._want(len(writes))
        started_s = time.perf_counter()
        for subject, body in writes:
            await self._writer.write(subject, body, "map.assign/1")
        await self._writer.settled()
        acknowledged_s = time.perf_counter()
        async with asyncio.timeout(WAIT_S):
            await self._reached.wait()
        self._check()
        return (acknowledged_s - started_s) * 1000, (time.perf_counter() - started_s) * 1000

    async def _publish(self, message: Message) -> None:
        await self._writer.write(*message, schema=_schema(message[0]), expected=None)

    def _want(self, more: int) -> None:
        self._wanted = self.seen + more
        self._reached.clear()

    async def _on_assign(self, _: Msg) -> None:
        self.seen += 1
        if self.seen == self._wanted:
            self._reached.set()
        if self._news is not None:
            self._news.set()

    def _check(self) -> None:
        if self._writer.failed:
            raise RuntimeError(f"{self._writer.failed} writes of the driver were refused")


@contextlib.asynccontextmanager
async def driver(url: str) -> AsyncIterator[Driver]:
    client = await nats.connect(url)
    try:
        driving = Driver(client)
        await driving.open()
        yield driving
    finally:
        await client.close()


def messages(events: Sequence[Event]) -> list[Message]:
    """Encoded beforehand: not what is measured."""
    return [(subject_of(event), encode(event)) for event in events]


def _schema(subject: str) -> str:
    return f"{subject.rpartition('.')[0]}/1"
