"""The bus without NATS: several `MemoryBus`es on one `MemoryServer`, for tests of services. Held to the real one's behaviour
by tests/contract. In: calls of `Bus`. Out: callbacks on the event loop, never from within the call that caused them.

`MemoryServer.stop()` is a server that does not answer; `start()` brings it back with its log.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from secrets import token_hex
from typing import TypeVar

from libs.bus.dead import Undertaker
from libs.bus.errors import BusUnavailable
from libs.bus.guard import guarded
from libs.bus.memory_log import Kept, MemoryLog
from libs.bus.memory_parts import MemoryAnswering, MemoryFollower, MemoryHeard, MemoryLease, MemoryWatching
from libs.bus.memory_server import Server
from libs.bus.port import Connection, Start, Subscription
from libs.bus.words import body_of, header_lines, subject_for
from libs.events import Event, Fact, MalformedEvent, Reply, Stream, decode_reply, is_name, subject_of
from libs.hosting.effects import Append, InDoubt, Outcome

__all__ = ["MemoryBus", "MemoryLog", "MemoryServer"]

E = TypeVar("E", bound=Event)
YIELD_EVERY = 500
"""Facts read before others get their turn."""


class MemoryServer(Server):
    """See `Server`."""

    def connect(self, name: str, user: str = "") -> "MemoryBus":
        """user: what a server with authorization would have verified."""
        return MemoryBus(self, name, user)


class MemoryBus:
    """Implements `Bus`."""

    def __init__(self, server: MemoryServer, name: str, user: str = "") -> None:
        if not is_name(name):
            raise ValueError(f"{name!r} is no valid name")
        self.name, self.user = name, user
        self.server = server
        self.id = next(server.ids)
        self._undertaker = Undertaker(name, server.clock_s, server.clock_ms)
        self._ids = (f"{token_hex(4)}.{number}" for number in itertools.count())
        self._unsettled: dict[str, tuple[Append, Callable[[Append, Outcome], None]]] = {}
        self._parts: list[Subscription] = []
        self._closed = False
        server.tell_connection(self, connected=True)

    @property
    def connected(self) -> bool:
        return self.server.up and not self._closed

    @property
    def breaks(self) -> int:
        return self.server.breaks

    async def ensure_streams(self, replicas: int) -> None:  # noqa: ARG002
        self._need_server()

    def submit(self, write: Append, on_settled: Callable[[Append, Outcome], None]) -> None:
        body = body_of(write.event)
        loop = asyncio.get_running_loop()
        if self._closed:
            loop.call_soon(guarded, on_settled, write, InDoubt("not sent: closed"))
            return
        msg_id = next(self._ids)
        self._unsettled[msg_id] = (write, on_settled)

        def act() -> None:
            if msg_id not in self._unsettled:
                return
            outcome = self.server.log.append(write, msg_id=msg_id, now_ms=self.server.clock_ms())
            self.server.stored()
            self.server.tell(subject_of(write.event), body, b"NATS/1.0\r\n" + header_lines(write.event, write.trace))
            loop.call_soon(self._settle, msg_id, outcome)

        self.server.when_up(act)

    async def append(self, write: Append) -> Outcome:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.submit(write, lambda _, outcome: None if future.done() else future.set_result(outcome))
        return await future

    def say(self, event: Event, trace: str | None = None) -> None:
        body = body_of(event)
        if self.connected:
            self.server.publish(subject_of(event), body, b"NATS/1.0\r\n" + header_lines(event, trace))

    def soon(self, callback: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_soon(callback)

    def flush(self) -> None:
        """Nothing waits here."""

    async def hear(
        self, event_type: type[E], on_event: Callable[[E], None], *, token: str = "*", queue: str | None = None
    ) -> Subscription:
        def deliver(event: Event, _reply: str) -> None:
            assert isinstance(event, event_type)
            on_event(event)

        self._need_server()
        heard = MemoryHeard(self, subject_for(event_type, token), queue, deliver)
        self._parts.append(heard)
        return heard

    async def ask(self, request: Event, timeout_s: float) -> Reply | None:
        reply_type = request.declaration.reply
        assert reply_type is not None, f"{request.declaration.name} is no request"
        subject, body = subject_of(request), body_of(request)
        inbox, future = self.server.expect_reply()
        headers = b"NATS/1.0\r\n" + header_lines(request)
        if not self.connected or not self.server.tell(subject, body, headers, inbox):
            future.cancel()
            return None
        try:
            async with asyncio.timeout(timeout_s):
                answer = await future
            return decode_reply(reply_type, answer)
        except TimeoutError:
            return None
        except MalformedEvent as error:
            self.bury(subject, answer, f"reply: {error.reason}")
            return None

    async def answer(
        self,
        event_type: type[E],
        handler: Callable[[E], Awaitable[Reply | None]],
        *,
        token: str = "*",
        queue: str | None = None,
    ) -> Subscription:
        self._need_server()
        answering = MemoryAnswering(self, subject_for(event_type, token), queue, handler)
        self._parts.append(answering)
        return answering

    async def watch_connections(self, on: Callable[[Connection], None]) -> Subscription:
        self._need_server()
        watching = MemoryWatching(self.server, on)
        self._parts.append(watching)
        return watching

    async def follow(self, streams: Iterable[Stream], on_fact: Callable[[Fact], None], start: Start) -> MemoryFollower:
        self._need_server()
        follower = MemoryFollower(self.server, streams, on_fact, self._bury_kept, start)
        self._parts.append(follower)
        return follower

    async def read(self, stream: Stream, first: int = 1, last: int | None = None) -> AsyncIterator[Fact]:
        self._need_server()
        for number, kept in enumerate(list(self.server.log.read(stream, first, last))):
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            yield kept.fact

    async def last(self, event_type: type[Event], token: str) -> Fact | None:
        self._need_server()
        return self.server.log.last(event_type, token)

    async def horizon(self, stream: Stream) -> int:
        self._need_server()
        return self.server.log.horizon(stream)

    async def lease(self, name: str, ttl_s: float, on_change: Callable[[bool], None] | None = None) -> MemoryLease:
        if not is_name(name):
            raise ValueError(f"{name!r} is no valid name")
        lease = MemoryLease(self.server, name, ttl_s, on_change)
        self._parts.append(lease)
        return lease

    def bury(self, subject: str, body: bytes, reason: str) -> None:
        if (letter := self._undertaker.letter(subject, body, reason)) is not None and not self._closed:
            self.submit(Append(letter, None), _ignore)

    async def ping(self, timeout_s: float) -> float:  # noqa: ARG002
        self._need_server()
        return 0.0

    async def close(self) -> None:
        parts, self._parts = self._parts, []
        for part in parts:
            await part.close()
        if not self._closed:
            self.server.tell_connection(self, connected=False, reason="Client Closed")
        self._closed = True
        if self.server.up:
            await asyncio.sleep(0)  # what was submitted settles
        for msg_id in list(self._unsettled):
            self._settle(msg_id, InDoubt("closed before the server answered"))

    def _settle(self, msg_id: str, outcome: Outcome) -> None:
        if (waiting := self._unsettled.pop(msg_id, None)) is not None:
            write, on_settled = waiting
            guarded(on_settled, write, outcome)

    def _bury_kept(self, kept: Kept) -> None:
        """Every follower finds the same message; one letter is enough."""
        if (
            kept.malformed is None
            or (letter := self._undertaker.letter(kept.subject, kept.body, kept.malformed.reason)) is None
        ):
            return

        def act() -> None:
            msg_id = f"dead.{kept.fact.stream}.{kept.seq}"
            self.server.log.append(Append(letter, None), msg_id=msg_id, now_ms=self.server.clock_ms())
            self.server.stored()

        self.server.when_up(act)

    def _need_server(self) -> None:
        if not self.connected:
            raise BusUnavailable("not connected")


def _ignore(_: Append, __: Outcome) -> None:
    pass
