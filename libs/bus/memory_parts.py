"""What a `MemoryBus` hands out: subscriptions, followers, leases. Called by libs.bus.memory."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from libs.bus.errors import BusUnavailable
from libs.bus.facts import name_of, schema_of
from libs.bus.guard import end, guarded
from libs.bus.memory_log import Kept
from libs.bus.port import Connection, Start
from libs.bus.words import body_of
from libs.events import Event, Fact, MalformedEvent, Reply, Stream, decode

if TYPE_CHECKING:
    from libs.bus.memory import MemoryBus, MemoryServer

FOLLOW_BATCH = 500
"""Facts delivered before others get their turn."""
STEPS_PER_TTL = 6


class MemoryHeard:
    """A core subscription. queue: of all subscriptions with the same name one gets a message."""

    def __init__(self, bus: "MemoryBus", pattern: str, queue: str | None, on_event: Callable[[Event, str], None]) -> None:
        self._bus, self._on_event = bus, on_event
        self.pattern, self.queue = pattern, queue
        self.closed = False
        bus.server.heard.append(self)

    def receive(self, subject: str, body: bytes, headers: bytes, reply: str) -> None:
        if self.closed:
            return
        try:
            event = decode(name_of(subject.encode()), body, schema_of(headers))
        except MalformedEvent as error:
            self._bus.bury(subject, body, error.reason)
            return
        guarded(self._on_event, event, reply)

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._bus.server.heard.remove(self)


class MemoryAnswering(MemoryHeard):
    def __init__(
        self, bus: "MemoryBus", pattern: str, queue: str | None, handler: Callable[[Any], Awaitable[Reply | None]]
    ) -> None:
        super().__init__(bus, pattern, queue, self._on_request)
        self._handler = handler
        self._tasks: set[asyncio.Task[None]] = set()

    def _on_request(self, event: Event, reply: str) -> None:
        if reply:
            task = asyncio.create_task(self._answer(event, reply))
            self._tasks.add(task)
            task.add_done_callback(self._on_done)

    async def _answer(self, event: Event, reply: str) -> None:
        answer = await self._handler(event)
        if answer is not None:
            self._bus.server.reply(reply, body_of(answer))

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            task.get_loop().call_exception_handler({"message": f"{self._handler!r} failed", "exception": error})

    async def close(self) -> None:
        await super().close()
        await end(self._tasks)


class MemoryWatching:
    """Hears of connections that begin and end."""

    def __init__(self, server: "MemoryServer", on: Callable[[Connection], None]) -> None:
        self._server, self._on = server, on
        self._closed = False
        server.watching.append(self)

    def receive(self, said: Connection) -> None:
        if not self._closed:
            guarded(self._on, said)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._server.watching.remove(self)


class MemoryFollower:
    """Several streams, in order each."""

    def __init__(
        self,
        server: "MemoryServer",
        streams: Iterable[Stream],
        on_fact: Callable[[Fact], None],
        on_malformed: Callable[[Kept], None],
        start: Start,
    ) -> None:
        self._server, self._on_fact, self._on_malformed = server, on_fact, on_malformed
        self._seq = dict.fromkeys(streams, 0)
        self._first: dict[Stream, deque[Kept]] = {stream: deque() for stream in self._seq}
        if start is Start.LAST_PER_SUBJECT:
            self._first = {stream: deque(server.log.last_per_subject(stream)) for stream in self._seq}
        self._caught_up = asyncio.Event()
        self._scheduled = False
        self._closed = False
        server.followers.append(self)
        self.wake()

    def wake(self) -> None:
        if not self._scheduled and not self._closed:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def position(self, stream: Stream) -> int:
        return self._seq[stream]

    async def caught_up(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._caught_up.wait()
        except TimeoutError:
            raise BusUnavailable(f"not caught up within {timeout_s:g} s") from None

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._server.followers.remove(self)

    def _deliver(self) -> None:
        self._scheduled = False
        if not self._server.up:
            return
        left = FOLLOW_BATCH
        for stream in self._seq:
            for kept in self._next(stream):
                if self._closed:
                    return
                if left == 0:
                    self.wake()
                    return
                left -= 1
                self._seq[stream] = kept.seq
                if kept.malformed is not None:
                    self._on_malformed(kept)
                guarded(self._on_fact, kept.fact)
        self._caught_up.set()

    def _next(self, stream: Stream) -> Iterator[Kept]:
        first = self._first[stream]
        while first:
            yield first[0]
            if first[0].seq > self._seq[stream]:
                return  # not taken
            first.popleft()
        yield from self._server.log.read(stream, self._seq[stream] + 1)


class MemoryLease:
    """As libs.bus.lease, by the server's clock."""

    def __init__(self, server: "MemoryServer", name: str, ttl_s: float, on_change: Callable[[bool], None] | None) -> None:
        self._server, self._name, self._ttl_s, self._on_change = server, name, ttl_s, on_change
        self._number = 0
        self._valid_until_s = 0.0
        self._told = False
        self._task = asyncio.create_task(self._compete(), name=f"lease {name}")

    @property
    def held(self) -> bool:
        return self._server.clock_s() < self._valid_until_s

    @property
    def number(self) -> int:
        return self._number if self.held else 0

    async def close(self) -> None:
        await end([self._task])
        if self.held:
            self._server.leases[self._name] = (self, 0.0)
        self._valid_until_s = 0.0
        self._tell()

    async def _compete(self) -> None:
        while True:
            self._step()
            await asyncio.sleep(self._ttl_s / STEPS_PER_TTL)

    def _step(self) -> None:
        self._tell()
        if not self._server.up:
            return
        now = self._server.clock_s()
        holder, until_s = self._server.leases.get(self._name, (self, 0.0))
        if holder is not self and now < until_s:
            return
        if not self.held:
            self._server.lease_number += 1
            self._number = self._server.lease_number
        self._valid_until_s = now + self._ttl_s
        self._server.leases[self._name] = (self, self._valid_until_s)
        self._tell()

    def _tell(self) -> None:
        if self.held != self._told:
            self._told = self.held
            if self._on_change is not None:
                guarded(self._on_change, self._told)
