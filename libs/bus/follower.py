"""Following streams: an ordered consumer each, in order, without gap or repetition, whatever happens to the connection.

In: a stream and where to begin. Out: `Fact`s to a plain function, in the read loop: a slow one slows the server's sending
(flow control), nothing is queued here and nothing can be lost here. Called by libs.bus.nats.

The server's consumer is a throw-away: after a reconnect, a hole in its numbering or a silence a new one begins behind the
last message delivered. Its settings: no acks, flow control, an idle heartbeat, in memory.
"""

import asyncio
import logging
from collections.abc import Callable
from secrets import token_hex
from typing import Any

from libs.bus.connection import ApiError, Connection
from libs.bus.errors import BusUnavailable
from libs.bus.facts import fact_from, header
from libs.bus.guard import end
from libs.bus.port import Start, Subscription
from libs.bus.stored import API_TIMEOUT_S, NO_STREAM, stream_info
from libs.bus.streams import NS, SPECS
from libs.events import Fact, MalformedEvent, Stream

HEARTBEAT_S = 1.0
SILENCE_MAX_S = 3.5
"""Three heartbeats missed: the consumer is gone, or its leader."""
INACTIVE_S = 10
"""After which the server forgets a consumer nobody listens to."""
RETRY_S = 0.1
_ACK = b"$JS.ACK."
_LOG = logging.getLogger(__name__)

OnFact = Callable[[Fact], None]
OnMalformed = Callable[[Fact, MalformedEvent, bytes], None]
OnLost = Callable[[str], None]


class StreamFollower:
    """One stream of a `Follower`."""

    def __init__(
        self, connection: Connection, stream: Stream, start: Start, on_fact: OnFact, on_malformed: OnMalformed, on_lost: OnLost
    ) -> None:
        self._connection = connection
        self._spec = SPECS[stream]
        self.stream = stream
        self._start = start
        self._on_fact, self._on_malformed, self._on_lost = on_fact, on_malformed, on_lost
        self.seq = 0
        self._consumer = ""
        self._consumer_seq = 0
        self._target: int | None = None
        self._sid = 0
        self._created: str | None = None
        self._heard_s = 0.0
        self._broken = asyncio.Event()
        self.caught_up = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """
        Raises:
            BusUnavailable: no answer, or no such stream.
        """
        await self._attach()
        self._connection.watchers.append(self._on_connection)
        self._task = asyncio.create_task(self._watch(), name=f"follow {self.stream}")

    async def close(self) -> None:
        if self._on_connection in self._connection.watchers:
            self._connection.watchers.remove(self._on_connection)
        if self._task is not None:
            await end([self._task])
        self._detach()

    def _on_connection(self, up: bool) -> None:
        if up:
            self._break("reconnected")

    def _break(self, why: str) -> None:
        if not self._broken.is_set():
            _LOG.info("following %s anew behind %d: %s", self.stream, self.seq, why)
            self._connection.unlisten(self._sid)
            self._broken.set()

    async def _watch(self) -> None:
        """Attaches anew whenever the consumer broke; ends when the log itself is lost."""
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S / 2):
                    await self._broken.wait()
            except TimeoutError:
                if self._connection.up and self._loop.time() - self._heard_s > SILENCE_MAX_S:
                    self._break("the server fell silent")
                continue
            try:
                if not await self._attach():
                    return
            except BusUnavailable as error:
                _LOG.info("following %s: %s", self.stream, error)
                await asyncio.sleep(RETRY_S)

    async def _attach(self) -> bool:
        """A new consumer behind the last message delivered. False: the log is lost."""
        if not await self._check_log():
            return False
        self._detach()
        self._consumer, self._consumer_seq, self._target = token_hex(8), 0, None
        deliver = self._connection.new_inbox()
        self._broken.clear()
        self._heard_s = self._loop.time()
        self._sid = self._connection.listen(deliver, self._on_message)
        try:
            answer = await self._connection.api(
                f"CONSUMER.CREATE.{self.stream}.{self._consumer}",
                {"stream_name": self.stream, "config": self._config(deliver)},
                timeout_s=API_TIMEOUT_S,
            )
        except BusUnavailable:
            self._broken.set()
            raise
        self._heard_s = self._loop.time()
        self._target = answer["num_pending"] + answer["delivered"]["consumer_seq"]
        self._check_caught_up()
        return True

    def _config(self, deliver: str) -> dict[str, Any]:
        where: dict[str, Any] = {"deliver_policy": "all"}
        if self.seq or self.caught_up.is_set():
            where = {"deliver_policy": "by_start_sequence", "opt_start_seq": self.seq + 1}
        elif self._start is Start.LAST_PER_SUBJECT:
            where = {"deliver_policy": "last_per_subject", "filter_subjects": list(self._spec.subjects)}
        return {
            **where,
            "name": self._consumer,
            "deliver_subject": deliver,
            "ack_policy": "none",
            "max_deliver": 1,
            "replay_policy": "instant",
            "flow_control": True,
            "idle_heartbeat": int(HEARTBEAT_S * NS),
            "inactive_threshold": INACTIVE_S * NS,
            "mem_storage": True,
            "num_replicas": 1,
        }

    async def _check_log(self) -> bool:
        """False, and on_lost told, where the log is not the one we followed. A stream in memory may be forgotten: then we
        begin again."""
        try:
            info = await stream_info(self._connection, self.stream)
        except ApiError as error:
            if error.code == NO_STREAM and self.seq and not self._spec.memory:
                return self._lose(f"the stream {self.stream} is gone")
            raise
        created, last = info["created"], info["state"]["last_seq"]
        if self._created is None or (created == self._created and last >= self.seq):
            self._created = created
            return True
        if self._spec.memory:
            self._created, self.seq = created, 0
            return True
        if created != self._created:
            return self._lose(f"the stream {self.stream} was made anew")
        return self._lose(f"the stream {self.stream} ends at {last}; {self.seq} had been delivered")

    def _lose(self, reason: str) -> bool:
        _LOG.error("the log is lost: %s", reason)
        self._detach()
        self._on_lost(reason)
        return False

    def _detach(self) -> None:
        if self._consumer:
            self._connection.unlisten(self._sid)
            self._connection.publish_now(f"$JS.API.CONSUMER.DELETE.{self.stream}.{self._consumer}")
            self._consumer = ""

    def _on_message(self, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        self._heard_s = self._loop.time()
        if not reply.startswith(_ACK):
            self._on_control(reply, headers)
            return
        seq, consumer_seq, stored_ns, _ = ack_numbers(reply)
        if consumer_seq != self._consumer_seq + 1:
            self._break(f"{consumer_seq} came after {self._consumer_seq}")
            return
        self._consumer_seq = consumer_seq
        if seq > self.seq:
            self.seq = seq
            own, stored_ms = self._connection.own.seen(subject, body), stored_ns // 1_000_000
            fact, malformed = fact_from(self.stream, seq, stored_ms, subject=subject, headers=headers, body=body, own=own)
            try:
                if malformed is not None:
                    self._on_malformed(fact, malformed, body)
                self._on_fact(fact)
            finally:
                self._check_caught_up()

    def _on_control(self, reply: bytes, headers: bytes) -> None:
        """Idle heartbeat or flow control; everything before it has been handled, so the server may go on."""
        if reply:
            self._connection.publish_now(reply.decode())
        if stalled := header(headers, b"Nats-Consumer-Stalled"):
            self._connection.publish_now(stalled)
        last = header(headers, b"Nats-Last-Consumer")
        if last is not None and int(last) != self._consumer_seq:
            self._break(f"the server sent {last}, {self._consumer_seq} came")

    def _check_caught_up(self) -> None:
        if self._target is not None and self._consumer_seq >= self._target:
            self.caught_up.set()


def ack_numbers(reply: bytes) -> tuple[int, int, int, int]:
    """Stream sequence, consumer sequence, stored at (Unix ns) and how many are pending, of a message's reply subject.
    Source: ADR-15; 9 tokens, or 11 and more with domain and account behind the second."""
    tokens = reply.split(b".")
    at = 5 if len(tokens) == 9 else 7
    return int(tokens[at]), int(tokens[at + 1]), int(tokens[at + 2]), int(tokens[at + 3])


class Follower:
    """Several streams, in order each. Implements `Following`."""

    def __init__(self, streams: list[StreamFollower], forget: Callable[[Subscription], None]) -> None:
        self._streams = {follower.stream: follower for follower in streams}
        self._forget = forget

    async def open(self) -> None:
        for follower in self._streams.values():
            await follower.open()

    async def caught_up(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                for follower in self._streams.values():
                    await follower.caught_up.wait()
        except TimeoutError:
            behind = ", ".join(name for name, follower in self._streams.items() if not follower.caught_up.is_set())
            raise BusUnavailable(f"not caught up within {timeout_s:g} s: {behind}") from None

    def position(self, stream: Stream) -> int:
        return self._streams[stream].seq

    async def close(self) -> None:
        for follower in self._streams.values():
            await follower.close()
        self._forget(self)
