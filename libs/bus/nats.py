"""The bus on NATS. In: `connect`. Out: `NatsBus`, an implementation of libs.bus.port.Bus. Called by libs.runtime and `kafra`.

A façade: the publisher is log.py, followers follower.py, reading.py, core messages talk.py, the lease lease.py, dead letters
dead.py; what they share is one connection (connection.py).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

from libs.bus import port, reading, stored, talk
from libs.bus.clock import now_s, unix_ms
from libs.bus.connect import open_connection
from libs.bus.connection import Connection
from libs.bus.dead import Undertaker
from libs.bus.ensure import ensure_streams
from libs.bus.errors import BusUnavailable
from libs.bus.facts import fact_from
from libs.bus.follower import Follower, StreamFollower
from libs.bus.guard import end, guarded
from libs.bus.lease import NatsLease
from libs.bus.log import Publisher
from libs.bus.port import Start, Subscription
from libs.bus.watching import Watching
from libs.bus.words import subject_for
from libs.events import Event, Fact, MalformedEvent, Reply, Stream, is_name
from libs.hosting.effects import Append, Outcome

CLOSE_TIMEOUT_S = 5.0
"""For writes to settle; a service that ends has said its last word well before."""
DISCONNECTED_CLOSE_TIMEOUT_S = 1.0
"""The same while the connection is down: a restarting server is back sooner."""
_LOG = logging.getLogger(__name__)

E = TypeVar("E", bound=Event)


async def connect(
    url: str,
    *,
    name: str,
    credentials: Path | str | None = None,
    inbox_prefix: str | None = None,
    ca: Path | None = None,
    on_lost: Callable[[str], None] | None = None,
    connect_timeout_s: float = 5.0,
) -> "NatsBus":
    """url: nats://host:port, tls, ws or wss, or several with commas. credentials: path of a file with `user:password`, an nkey
    seed, or a .creds file. ca: file of the authority whose certificates to believe, None: the system's; with one the connection
    is encrypted, whatever the url says. on_lost(reason): the log is not the one we followed; end and start again.

    Raises:
        BusUnavailable: no server within connect_timeout_s.
        AuthorizationFailed: credentials not accepted, or their file cannot be used.
        ValueError: `name` is no valid name.
    """
    if not is_name(name):
        raise ValueError(f"{name!r} is no valid name: at most 32 of A-Z a-z 0-9 _ @ -")
    connection = await open_connection(url, name, credentials, inbox_prefix, ca, connect_timeout_s)
    return NatsBus(connection, name, on_lost)


class NatsBus:
    """Implements `Bus`."""

    def __init__(self, connection: Connection, name: str, on_lost: Callable[[str], None] | None) -> None:
        self.name = name
        self._connection = connection
        self._publisher = Publisher(connection, name)
        self._undertaker = Undertaker(name, now_s, unix_ms)
        self._on_lost = on_lost
        self._parts: set[Subscription] = set()
        self._replicas: int | None = None
        self._ensuring: asyncio.Task[None] | None = None
        connection.watchers.append(self._on_connection)

    @property
    def connected(self) -> bool:
        return self._connection.up

    @property
    def breaks(self) -> int:
        return self._connection.breaks

    @property
    def refused(self) -> bool:
        """The server answers, and does not accept our credentials any more; reconnecting goes on all the same."""
        return self._connection.refused and not self._connection.up

    async def reconnect(self, why: str) -> None:
        """Another socket at once, for who knows that this one is dead before a ping could tell. Subscriptions stay."""
        await self._connection.reconnect(why)

    def on_change(self, told: Callable[[bool], None]) -> None:
        """told(True) each time the connection is there again, told(False) when it is lost."""
        self._connection.watchers.append(told)

    async def ensure_streams(self, replicas: int) -> None:
        await ensure_streams(self._connection, replicas)
        self._replicas = replicas

    def submit(self, write: Append, on_settled: Callable[[Append, Outcome], None]) -> None:
        self._publisher.submit(write, on_settled)

    async def append(self, write: Append) -> Outcome:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settle(_: Append, outcome: Outcome) -> None:
            if not future.done():  # the waiter may be gone
                future.set_result(outcome)

        self._publisher.submit(write, settle)
        return await future

    def say(self, event: Event, trace: str | None = None) -> None:
        talk.say(self._connection, event, trace)

    def soon(self, callback: Callable[[], object]) -> None:
        self._connection.soon(callback)

    def flush(self) -> None:
        self._connection.flush_now()

    async def hear(
        self, event_type: type[E], on_event: Callable[[E], None], *, token: str = "*", queue: str | None = None
    ) -> Subscription:
        def deliver(event: Event, _reply: bytes) -> None:
            assert isinstance(event, event_type)
            on_event(event)

        heard = talk.Heard(self._connection, self.bury, deliver, self._forget)
        await heard.open(subject_for(event_type, token), queue)
        self._parts.add(heard)
        return heard

    async def ask(self, request: Event, timeout_s: float) -> Reply | None:
        return await talk.ask(self._connection, self.bury, request, timeout_s)

    async def answer(
        self,
        event_type: type[E],
        handler: Callable[[E], Awaitable[Reply | None]],
        *,
        token: str = "*",
        queue: str | None = None,
    ) -> Subscription:
        answering = talk.Answering(self._connection, self.bury, handler, self._forget)
        await answering.open(subject_for(event_type, token), queue)
        self._parts.add(answering)
        return answering

    async def watch_connections(self, on: Callable[[port.Connection], None]) -> Subscription:
        watching = Watching(self._connection, on, self._forget)
        await watching.open()
        self._parts.add(watching)
        return watching

    async def follow(self, streams: Iterable[Stream], on_fact: Callable[[Fact], None], start: Start) -> Follower:
        follower = Follower(
            [
                StreamFollower(self._connection, stream, start, on_fact, self._bury_stored, self._lost)
                for stream in dict.fromkeys(streams)
            ],
            self._forget,
        )
        self._parts.add(follower)
        try:
            await follower.open()
        except BusUnavailable:
            await follower.close()
            raise
        return follower

    def read(self, stream: Stream, first: int = 1, last: int | None = None) -> AsyncIterator[Fact]:
        return reading.read(self._connection, stream, first, last)

    async def last(self, event_type: type[Event], token: str) -> Fact | None:
        stream = event_type.declaration.stream
        assert stream is not None, f"{event_type.declaration.name} is kept in no stream"
        subject = subject_for(event_type, token)
        found = await stored.get_message(self._connection, stream, {"last_by_subj": subject})
        if found is None:
            return None
        return fact_from(stream, found.seq, found.stored_ms, subject=subject.encode(), headers=found.headers, body=found.body)[
            0
        ]

    async def horizon(self, stream: Stream) -> int:
        return await stored.horizon(self._connection, stream)

    async def lease(self, name: str, ttl_s: float, on_change: Callable[[bool], None] | None = None) -> NatsLease:
        if not is_name(name):
            raise ValueError(f"{name!r} is no valid name")
        lease = NatsLease(self._connection, name, ttl_s, self.name, on_change, self._forget)
        self._parts.add(lease)
        return lease

    def bury(self, subject: str, body: bytes, reason: str) -> None:
        self._bury(subject, body, reason, None)

    async def ping(self, timeout_s: float) -> float:
        return await self._connection.round_trip(timeout_s)

    async def close(self) -> None:
        if self._connection.closing:
            return
        self._connection.closing = True
        parts, self._parts = self._parts, set()
        for part in parts:
            await part.close()
        if self._ensuring is not None:
            await end([self._ensuring])
        await self._publisher.close(CLOSE_TIMEOUT_S if self._connection.up else DISCONNECTED_CLOSE_TIMEOUT_S)
        try:
            await self._connection.round_trip(1.0)  # what was said last is on its way
        except BusUnavailable:
            _LOG.debug("closed while disconnected")
        await self._connection.close()

    def _forget(self, part: Subscription) -> None:
        self._parts.discard(part)

    def _bury_stored(self, fact: Fact, malformed: MalformedEvent, body: bytes) -> None:
        """Every follower finds the same message; one letter is enough."""
        self._bury(malformed.subject, body, malformed.reason, f"dead.{fact.stream}.{fact.seq}")

    def _bury(self, subject: str, body: bytes, reason: str, msg_id: str | None) -> None:
        letter = self._undertaker.letter(subject, body, reason)
        _LOG.debug("malformed: %s: %s", subject, reason)
        if letter is not None:
            self._publisher.submit(Append(letter, None), _log_doubt, msg_id)

    def _lost(self, reason: str) -> None:
        if self._on_lost is not None:
            guarded(self._on_lost, reason)

    def _on_connection(self, up: bool) -> None:
        """A server that restarted has forgotten the streams in memory."""
        if up and self._replicas is not None and not self._connection.closing:
            if self._ensuring is not None:
                self._ensuring.cancel()
            self._ensuring = asyncio.create_task(self._ensure_again(self._replicas), name="ensure streams")

    async def _ensure_again(self, replicas: int) -> None:
        try:
            await ensure_streams(self._connection, replicas)
        except BusUnavailable as error:
            _LOG.warning("streams not checked after reconnecting: %s", error)


def _log_doubt(_: Append, outcome: Outcome) -> None:
    _LOG.debug("dead letter: %s", outcome)
