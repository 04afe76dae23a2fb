"""Reading a stream to its present end, fast and bounded: pull batches, the next one asked for while one is handed out.

In: a stream and bounds. Out: facts, in order. Called by libs.bus.nats (`Bus.read`), for replay and reports. Holds at most two
batches. After a broken connection it goes on behind the last fact.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from secrets import token_hex

import msgspec

from libs.bus.connection import Connection
from libs.bus.errors import BusUnavailable
from libs.bus.facts import fact_from
from libs.bus.follower import ack_numbers
from libs.bus.stored import API_TIMEOUT_S, stream_info
from libs.bus.streams import NS
from libs.events import Fact, Stream

BATCH = 500
BATCH_BYTES_MAX = 8 * 1024 * 1024
BATCH_TIMEOUT_S = 5.0
"""A batch that does not come within this is asked for again with a new consumer."""
ATTACH_TRIES = 6
"""One after the other without a fact between, before giving up: half a minute of silence."""
_Message = tuple[int, int, bytes, bytes, bytes]


class _Puller:
    """One throw-away pull consumer. Messages wait in `messages`; `ready` is set by each arrival."""

    def __init__(self, connection: Connection, stream: Stream) -> None:
        self._connection, self._stream = connection, stream
        self._name = token_hex(8)
        self._inbox = connection.new_inbox()
        self._sid = 0
        self._consumer_seq = 0
        self._asked = 0
        self.messages: deque[_Message] = deque()
        self.pending = 0
        """How many the stream held behind the newest message here."""
        self.broken = False
        self.ready = asyncio.Event()

    async def open(self, first: int) -> None:
        config = {
            "name": self._name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": max(1, first),
            "ack_policy": "none",
            "max_deliver": 1,
            "inactive_threshold": 30 * NS,
            "mem_storage": True,
            "num_replicas": 1,
        }
        self._sid = self._connection.listen(self._inbox, self._on_message)
        answer = await self._connection.api(
            f"CONSUMER.CREATE.{self._stream}.{self._name}",
            {"stream_name": self._stream, "config": config},
            timeout_s=API_TIMEOUT_S,
        )
        self.pending = answer["num_pending"]

    def ask(self) -> None:
        """For a batch more, if less than one is on its way."""
        if self._asked < BATCH and self.pending > 0 and len(self.messages) <= BATCH:
            self._asked += BATCH
            request = {"batch": BATCH, "max_bytes": BATCH_BYTES_MAX, "expires": int(BATCH_TIMEOUT_S * NS)}
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"
            if not self._connection.publish_now(subject, msgspec.json.encode(request), reply=self._inbox):
                self.broken = True

    def close(self) -> None:
        self._connection.unlisten(self._sid)
        self._connection.publish_now(f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._name}")

    def _on_message(self, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        self.ready.set()
        if not reply.startswith(b"$JS.ACK."):  # a status: this request has ended, for its size, its time or its consumer
            self._asked = 0
            self.broken = self.broken or b"Consumer" in headers.partition(b"\r\n")[0] or headers.startswith(b"NATS/1.0 503")
            return
        seq, consumer_seq, stored_ns, self.pending = ack_numbers(reply)
        self.broken = self.broken or consumer_seq != self._consumer_seq + 1
        if not self.broken:
            self._consumer_seq = consumer_seq
            self._asked = max(0, self._asked - 1)
            self.messages.append((seq, stored_ns // 1_000_000, subject, headers, body))


async def read(connection: Connection, stream: Stream, first: int, last: int | None) -> AsyncIterator[Fact]:
    """See `Bus.read`.

    Raises:
        BusUnavailable: nothing comes any more.
    """
    info = await stream_info(connection, stream)
    end = info["state"]["last_seq"] if last is None else min(last, info["state"]["last_seq"])
    failures = 0
    while first <= end:
        puller = _Puller(connection, stream)
        try:
            await puller.open(first)
            async for fact in _pull(puller, stream, end):
                yield fact
                first, failures = fact.seq + 1, 0
            return
        except BusUnavailable:
            failures += 1
            if failures >= ATTACH_TRIES:
                raise
        finally:
            puller.close()


async def _pull(puller: _Puller, stream: Stream, end: int) -> AsyncIterator[Fact]:
    while True:
        puller.ask()
        while puller.messages:
            seq, stored_ms, subject, headers, body = puller.messages.popleft()
            if seq > end:
                return
            yield fact_from(stream, seq, stored_ms, subject=subject, headers=headers, body=body)[0]
            if seq == end:
                return
            puller.ask()
        if puller.pending == 0:
            return
        if puller.broken:
            raise BusUnavailable(f"reading {stream}: interrupted")
        puller.ready.clear()
        try:
            async with asyncio.timeout(BATCH_TIMEOUT_S):
                await puller.ready.wait()
        except TimeoutError:
            raise BusUnavailable(f"reading {stream}: nothing within {BATCH_TIMEOUT_S:g} s") from None
