"""The port between our processes and whatever carries messages. Two implementations, one contract suite (tests/contract):
`libs.bus.nats` (real) and `libs.bus.memory` (tests).

Callbacks are plain functions, called on the event loop in order; they must not block. What can wait has a timeout.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from libs.events import Event, Fact, Reply, Stream
from libs.hosting.effects import Append, Outcome

E = TypeVar("E", bound=Event)


class Start(StrEnum):
    """Where a follower begins: at the last message of each subject (DESIGN D11), or at the oldest kept."""

    LAST_PER_SUBJECT = "last_per_subject"
    ALL = "all"


class Subscription(Protocol):
    async def close(self) -> None:
        """No callback runs after this returns."""


@dataclass(frozen=True, slots=True)
class Connection:
    """The server's word that a connection to it began or ended.

    connected: which of the two.
    user: what the server verified: a public nkey (U...) or a user's name; "" where there is no authorization.
    name: what the client calls itself; anyone may call himself anything.
    server, id: together they name the connection; a server that starts again has another `server`.
    address: where it came from, without the port.
    at_ms: when it began or ended, the server's clock, Unix ms.
    reason: of its end, the server's words; "" for a beginning.
    """

    connected: bool
    user: str
    name: str
    id: int
    server: str
    address: str
    at_ms: int
    reason: str


class Following(Subscription, Protocol):
    async def caught_up(self, timeout_s: float) -> None:
        """Returns once all that was kept when the follower started has been delivered.

        Raises:
            BusUnavailable: not within timeout_s.
        """

    def position(self, stream: Stream) -> int:
        """Sequence of the last message delivered of this stream, 0 for none."""


class Lease(Subscription, Protocol):
    """Mutual exclusion with a time limit. Held only as long as this process, by its own clock, renewed in time."""

    @property
    def held(self) -> bool: ...

    @property
    def number(self) -> int:
        """Grows with every new holder; 0 while not held. Put it into what the holder says (host.order)."""


class Bus(Protocol):
    """One connection. `name` tells who writes (header Kafra-By and dead letters)."""

    name: str

    @property
    def connected(self) -> bool: ...

    @property
    def breaks(self) -> int:
        """How often the connection broke so far; whoever looks now and then misses none."""

    async def ensure_streams(self, replicas: int) -> None:
        """Create what is missing of libs/bus/streams.py, check what is there.

        Raises:
            StreamMismatch: a stream exists with limits that would lose what we promise to keep.
            BusUnavailable: no answer.
        """

    def submit(self, write: Append, on_settled: Callable[[Append, Outcome], None]) -> None:
        """Pipelined compare-and-set write: sent at once, or queued when IN_FLIGHT_MAX are out; on_settled is called exactly
        once. Timeouts and restarts are retried with the same Nats-Msg-Id and the same expected sequence (NATS.md), so a
        write is neither lost nor doubled; InDoubt only after SETTLE_TIMEOUT_S or on close."""

    async def append(self, write: Append) -> Outcome:
        """`submit`, awaited."""

    def say(self, event: Event, trace: str | None = None) -> None:
        """Core publish, at most once; dropped while disconnected: a stale word is worse than none."""

    def soon(self, callback: Callable[[], object]) -> None:
        """Call it when all that has come by now was handed on: what is decided then is decided once, and without delay."""

    def flush(self) -> None:
        """What was said and submitted goes out now, and not at the end of this turn of the loop."""

    async def hear(
        self, event_type: type[E], on_event: Callable[[E], None], *, token: str = "*", queue: str | None = None
    ) -> Subscription:
        """Core subscription. What is malformed becomes a dead letter and does not reach on_event."""

    async def ask(self, request: Event, timeout_s: float) -> Reply | None:
        """The reply of the request's declared type; None when nobody answered in time or the answer was malformed."""

    async def answer(
        self,
        event_type: type[E],
        handler: Callable[[E], Awaitable[Reply | None]],
        *,
        token: str = "*",
        queue: str | None = None,
    ) -> Subscription:
        """Answer requests, several at once; None: stay silent. queue: of all with the same name, one is asked."""

    async def watch_connections(self, on: Callable[[Connection], None]) -> Subscription:
        """Connections of our account that begin or end from now on, ours included. One that began may be told again while it
        lasts (the server read its configuration anew). Not told: what happens while we are disconnected, and the end of those
        whose server died. Only where the server lets us see (libs/identity/accounts.py); elsewhere nothing is ever told."""

    async def follow(self, streams: Iterable[Stream], on_fact: Callable[[Fact], None], start: Start) -> Following:
        """Every message of these streams, in order within each stream, without gap or repetition, through reconnects and
        server restarts. A message that cannot be read arrives as a Fact with event None, after its dead letter was said.
        If the log itself was lost or rolled back (its last sequence is below ours) the `on_lost` given to connect is called."""

    def read(self, stream: Stream, first: int = 1, last: int | None = None) -> AsyncIterator[Fact]:
        """The stream as kept, from sequence `first` to `last` (None: to the last one there is now). Ends by itself."""

    async def last(self, event_type: type[Event], token: str) -> Fact | None:
        """The last message of one subject, read from the leader (never a direct get: NATS.md)."""

    async def horizon(self, stream: Stream) -> int:
        """The oldest sequence at which no subject had been truncated; 0 when nothing ever was. Rebuilding the world below
        it is refused (DESIGN section 4)."""

    async def lease(self, name: str, ttl_s: float, on_change: Callable[[bool], None] | None = None) -> Lease:
        """Start competing for a lease; returns at once. on_change(held) on every change."""

    def bury(self, subject: str, body: bytes, reason: str) -> None:
        """Keep a message that could not be read as a dead letter; rate-limited per publisher (the subject's last token)."""

    async def ping(self, timeout_s: float) -> float:
        """Round trip to the server, seconds. What the server had for us before it answered has been heard before.

        Raises:
            BusUnavailable: no answer within timeout_s.
        """

    async def close(self) -> None:
        """Drain: what was submitted settles or is InDoubt, subscriptions end, the connection closes. Bounded."""
