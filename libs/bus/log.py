"""The pipelined compare-and-set publisher (DESIGN D1, NATS.md "Writing without losing or doubling").

In: `Append`s. Out: exactly one `Outcome` for each, on the event loop. Called by libs.bus.nats. A write keeps one Nats-Msg-Id
and one expected sequence for its life, so sending it again is safe:
- while the server remembers the id (DUPLICATE_WINDOW_S) by the id, and for ever after by the expected sequence, which has
  moved on; whether it was us who moved it, the message that follows the expected one tells;
- a write without an expected sequence has the id only; it is given up long before the server forgets.
"""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable
from secrets import token_hex

import msgspec

from libs.bus.clock import now_s
from libs.bus.connection import Connection
from libs.bus.errors import BusUnavailable
from libs.bus.facts import MSG_ID, header
from libs.bus.guard import end, guarded
from libs.bus.stored import get_message
from libs.bus.streams import DUPLICATE_WINDOW_S
from libs.bus.words import body_of, header_lines
from libs.events import Event, subject_of
from libs.hosting.effects import Append, Committed, InDoubt, Outcome, Refused

SETTLE_TIMEOUT_S = 30.0
"""Longer than an R3 cluster's longest silence after its leader's death (7.8 s) or a server's restart."""
assert SETTLE_TIMEOUT_S * 2 <= DUPLICATE_WINDOW_S
IN_FLIGHT_MAX = 256
"""Where the pipelined publisher was fastest (NATS.md: 64 to 256)."""
QUEUE_MAX = 32_768
"""Behind those in flight: every map and every host of a large server at once, about 1 s of writing."""
RETRY_FIRST_S = 0.25
RETRY_S = 0.5
NOT_READY_S = 0.05
"""Nobody answered, at once: the stream has no leader yet. Asked again soon."""
SWEEP_S = 0.05
LOOK_TIMEOUT_S = 1.0
WRONG_LAST_SEQUENCE = 10071
_LAST = re.compile(r"wrong last sequence: (\d+)")
_LOG = logging.getLogger(__name__)

OnSettled = Callable[[Append, Outcome], None]


class _Error(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct):
    seq: int = 0
    error: _Error | None = None


class _Write:
    """One write and what became of it so far. looking: whether it stands is being asked; not sent meanwhile."""

    __slots__ = (
        "append",
        "attempts",
        "command",
        "deadline_s",
        "due_s",
        "looking",
        "msg_id",
        "on_settled",
        "problem",
        "settled",
        "stream",
        "subject",
    )

    def __init__(self, append: Append, on_settled: OnSettled, msg_id: str, deadline_s: float) -> None:
        stream = append.event.declaration.stream
        assert stream is not None, f"{append.event.declaration.name} is kept in no stream"
        self.append = append
        self.on_settled = on_settled
        self.subject = subject_of(append.event)
        self.stream = stream
        self.msg_id = msg_id
        self.deadline_s = deadline_s
        self.command = b""
        self.attempts = 0
        self.due_s = 0.0
        self.looking = False
        self.settled = False
        self.problem = "no answer"


class Publisher:
    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._by = f"Kafra-By: {name}\r\nNats-Msg-Id: ".encode()
        self._id_prefix = token_hex(8)
        self._inbox = connection.new_inbox()
        self._reply = self._inbox.encode()
        self._inbox_length = len(self._inbox) + 1
        self._number = 0
        self._in_flight: dict[int, _Write] = {}
        self._queue: deque[tuple[int, _Write]] = deque()
        self._looks: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False
        self._known: dict[type[Event], bytes] = {}
        self._idle = asyncio.Event()
        self._decoder = msgspec.json.Decoder(_Ack)
        self._loop = asyncio.get_running_loop()
        connection.listen(f"{self._inbox}.*", self._on_ack)
        connection.watchers.append(self._on_connection)

    def submit(self, append: Append, on_settled: OnSettled, msg_id: str | None = None) -> None:
        """See `Bus.submit`. msg_id: only where two processes may write the same and one is enough.

        Raises:
            ValueError: no valid name, or a body nobody would read: a bug of the caller.
        """
        self._number += 1
        number = self._number
        write = _Write(append, on_settled, msg_id or f"{self._id_prefix}.{number}", now_s() + SETTLE_TIMEOUT_S)
        write.command = self._command(write, number)
        if self._closed or len(self._queue) >= QUEUE_MAX:
            reason = "not sent: closed" if self._closed else f"not sent: {QUEUE_MAX} writes are waiting"
            self._loop.call_soon(guarded, on_settled, append, InDoubt(reason))
            return
        if len(self._in_flight) < IN_FLIGHT_MAX and not self._queue and self._connection.up:
            self._in_flight[number] = write
            self._send(write)
        else:
            self._queue.append((number, write))
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(SWEEP_S, self._sweep)

    @property
    def unsettled(self) -> int:
        return len(self._in_flight) + len(self._queue)

    async def close(self, timeout_s: float) -> None:
        """Waits for what is unsettled; the rest is InDoubt after timeout_s."""
        self._closed = True
        self._idle.clear()
        if self.unsettled:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._idle.wait()
            except TimeoutError:
                _LOG.warning("closing with %d writes in doubt", self.unsettled)
        await end(self._looks)
        if self._sweeping is not None:
            self._sweeping.cancel()
        for number, write in [*self._in_flight.items(), *self._queue]:
            self._queue.clear()
            self._settle(number, write, InDoubt("closed before the server answered"))

    def _command(self, write: _Write, number: int) -> bytes:
        append = write.append
        body = body_of(append.event)
        if append.trace:
            known = header_lines(append.event, append.trace)
        elif (known := self._known.get(type(append.event), b"")) == b"":
            known = self._known[type(append.event)] = header_lines(append.event)
        lines = b"%b%b\r\n%b" % (self._by, write.msg_id.encode(), known)
        if append.expected is not None:
            lines += b"Nats-Expected-Last-Subject-Sequence: %d\r\n" % append.expected
            if append.scope is not None:
                lines += b"Nats-Expected-Last-Subject-Sequence-Subject: %b\r\n" % append.scope.encode()
        size = len(lines) + 12
        subject = write.subject.encode()
        self._connection.own.wrote(subject, body, append.event)
        return b"HPUB %b %b.%d %d %d\r\nNATS/1.0\r\n%b\r\n%b\r\n" % (
            subject,
            self._reply,
            number,
            size,
            size + len(body),
            lines,
            body,
        )

    def _send(self, write: _Write) -> None:
        if self._connection.send(write.command):
            write.attempts += 1
            write.due_s = now_s() + (RETRY_FIRST_S if write.attempts == 1 else RETRY_S)
        else:
            write.due_s = now_s() + NOT_READY_S

    def _on_ack(self, subject: bytes, _reply: bytes, _headers: bytes, body: bytes) -> None:
        number = int(subject[self._inbox_length :])
        write = self._in_flight.get(number)
        if write is None or write.looking:
            return
        if not body:  # no responders
            write.problem = "no stream answers"
            write.due_s = now_s() + NOT_READY_S
            return
        try:
            ack = self._decoder.decode(body)
        except msgspec.DecodeError:
            _LOG.error("%s: %r is no acknowledgement", write.subject, body[:200])
            return
        if ack.error is None:
            self._settle(number, write, Committed(ack.seq))
        elif ack.error.err_code == WRONG_LAST_SEQUENCE:
            self._on_refused(number, write, ack.error.description)
        else:
            write.problem = f"{ack.error.description} ({ack.error.err_code})"
            _LOG.debug("%s: %s; again", write.subject, write.problem)
            write.due_s = now_s() + RETRY_S

    def _on_refused(self, number: int, write: _Write, description: str) -> None:
        found = _LAST.match(description)
        if write.attempts == 1 and found:
            self._settle(number, write, Refused(int(found[1])))  # sent once: what moved the sequence was not us
            return
        write.looking = True
        task = asyncio.create_task(self._look(number, write, int(found[1]) if found else None))
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)

    async def _look(self, number: int, write: _Write, last: int | None) -> None:
        """Who wrote after the expected sequence? If one of our attempts did, its message is the very next of the scope."""
        append = write.append
        assert append.expected is not None
        scope = append.scope or write.subject
        try:
            query: dict[str, object] = {"seq": append.expected + 1, "next_by_subj": scope}
            found = await get_message(self._connection, write.stream, query, LOOK_TIMEOUT_S)
            if found is not None and header(found.headers, MSG_ID) == write.msg_id:
                self._settle(number, write, Committed(found.seq))
                return
            if last is None:
                found = await get_message(self._connection, write.stream, {"last_by_subj": scope}, LOOK_TIMEOUT_S)
                last = found.seq if found else 0
            self._settle(number, write, Refused(last))
        except BusUnavailable as error:
            _LOG.debug("%s: %s; again", write.subject, error)
            write.looking = False
            write.due_s = now_s() + RETRY_S

    def _settle(self, number: int, write: _Write, outcome: Outcome) -> None:
        if write.settled:
            return
        write.settled = True
        if self._in_flight.pop(number, None) is not None and self._queue:
            self._pump()
        guarded(write.on_settled, write.append, outcome)
        if not self._in_flight and not self._queue:
            self._idle.set()

    def _pump(self) -> None:
        while self._queue and len(self._in_flight) < IN_FLIGHT_MAX and self._connection.up:
            number, write = self._queue.popleft()
            self._in_flight[number] = write
            self._send(write)

    def _on_connection(self, up: bool) -> None:
        if up:
            for write in self._in_flight.values():
                if not write.looking:
                    self._send(write)
            self._pump()

    def _sweep(self) -> None:
        """One timer for all: sends again what is due, gives up what is overdue."""
        self._sweeping = None
        now = now_s()
        for number, write in list(self._in_flight.items()):
            if now >= write.deadline_s:
                reason = f"{write.problem} within {SETTLE_TIMEOUT_S:g} s, {write.attempts} attempts"
                self._settle(number, write, InDoubt(reason))
            elif now >= write.due_s and not write.looking:
                if self._connection.is_forbidden("Publish", write.subject):
                    self._settle(number, write, InDoubt("the server does not permit it"))
                else:
                    self._send(write)
        while self._queue and now >= self._queue[0][1].deadline_s:
            number, write = self._queue.popleft()
            self._settle(number, write, InDoubt(f"not sent within {SETTLE_TIMEOUT_S:g} s"))
        self._pump()
        if self.unsettled and self._sweeping is None:
            self._sweeping = self._loop.call_later(SWEEP_S, self._sweep)
