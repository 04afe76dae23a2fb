"""One connection to NATS: nats-py's client with what a log needs of it.

In: commands to send, from plain functions. Out: messages to receivers, plain functions called in the read loop itself: no
queue between that could overflow, and a slow receiver slows the socket, never loses. Used by every part of libs.bus.nats.
What differs from nats-py here (the rest: dialing.py, returning.py), and why:
- receivers get raw bytes (5 times cheaper; a subject that is no UTF-8 does not end the read loop);
- nothing is sent late: what was not sent when the connection broke is dropped, its sender decides;
- a pong for somebody who gave up waiting does not end the read loop.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import msgspec
from nats.aio.subscription import Subscription

from libs.bus.errors import BusUnavailable
from libs.bus.guard import report
from libs.bus.own import OwnWrites
from libs.bus.parser import Parser
from libs.bus.returning import Returning
from libs.bus.words import publish_command

Receive = Callable[[bytes, bytes, bytes, bytes], None]
"""subject, reply subject, headers as they came (b"" for none), body."""

FLUSH_BYTES = 48 * 1024
"""With this much to say the server begins to work while we still make the rest."""
WRITE_BUFFER_BYTES = 256 * 1024
"""Behind the socket; with more there, nats-py's flusher waits for it to drain."""
PENDING_BYTES_MAX = 8 * 1024 * 1024
"""Not yet in the socket; beyond it the server does not read and sending more only makes it later."""
PING_INTERVAL_S = 2.0
PINGS_OUTSTANDING_MAX = 2
"""A frozen server or a dead path is noticed within (2 + 1) * 2 s."""
REQUEST_TRY_S = 0.5
"""Before a request of the server's own API is sent again; all of ours may be repeated."""
NOT_YET = frozenset({10008, 10009, 10039, 10076})
"""JetStream error codes that pass: temporarily unavailable, no leader yet, not enabled yet (for the account)."""


class NoResponders(BusUnavailable):
    """Nobody listens on that subject."""


class ApiError(BusUnavailable):
    """JetStream's answer is an error. code: its err_code, e.g. 10059 stream not found."""

    def __init__(self, what: str, code: int, description: str) -> None:
        super().__init__(f"{what}: {description} ({code})")
        self.code = code
        self.description = description


class Connection(Returning):
    """See the module and its bases."""

    def __init__(self) -> None:
        super().__init__()
        self._ps = Parser(self)  # type: ignore[assignment]
        self._receivers: dict[int, Receive] = {}
        self._requests: dict[int, asyncio.Future[tuple[bytes, bytes]]] = {}
        self._request_number = 0
        self._reply_prefix = b""
        self.own = OwnWrites()
        self._flushing = False
        self.dropped = 0
        """Commands not sent because the connection was down or stuck."""

    def open(self) -> None:
        """Called once, after the first connect."""
        self._up = True
        self._reply_prefix = self.new_inbox().encode() + b"."
        self.listen(f"{self._reply_prefix.decode()}*", self._on_reply)

    def send(self, command: bytes) -> bool:
        """False: not sent and never will be; the connection is down or stuck."""
        if not self.up or self._pending_data_size > PENDING_BYTES_MAX:
            self.dropped += 1
            return False
        self._pending.append(command)
        self._pending_data_size += len(command)
        if self._pending_data_size > FLUSH_BYTES:
            self.flush_now()
        elif not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self.flush_now)
        return True

    def flush_now(self) -> None:
        """All that was said, straight to the socket; by itself once in a turn of the loop. Waking nats-py's flusher takes
        longer than the write. A socket that takes no more, and a websocket, are left to the flusher, which waits."""
        self._flushing = False
        writer = self._writer
        if not self._pending or not self.up:
            return
        if writer is not None and writer.transport.get_write_buffer_size() < WRITE_BUFFER_BYTES:
            writer.write(b"".join(self._pending))
            self._pending, self._pending_data_size = [], 0
        elif self._flush_queue is not None and self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    def soon(self, callback: Callable[[], object]) -> None:
        """See `Bus.soon`."""
        if not self._ps.soon(callback):  # type: ignore[attr-defined]
            asyncio.get_running_loop().call_soon(callback)

    def publish_now(self, subject: str, body: bytes = b"", *, reply: str = "", headers: bytes = b"") -> bool:
        return self.send(publish_command(subject, body, reply=reply, headers=headers))

    def listen(self, subject: str, receive: Receive, queue: str = "") -> int:
        """Subscribe; the number is for `unlisten`. Renewed by itself after a reconnect. The subject is ours: not checked."""
        self._sid += 1
        sid = self._sid
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()  # spares nats-py's task and queue
        self._subs[sid] = Subscription(self, sid, subject, queue=queue, future=future)
        self._receivers[sid] = receive
        self.send(f"SUB {subject} {queue} {sid}\r\n".encode())
        return sid

    def unlisten(self, sid: int) -> None:
        """No message reaches the receiver after this returns."""
        if self._receivers.pop(sid, None) is not None:
            self._subs.pop(sid, None)
            self.send(f"UNSUB {sid}\r\n".encode())

    async def call(self, subject: str, body: bytes, timeout_s: float, headers: bytes = b"") -> tuple[bytes, bytes]:
        """Headers and body of the first answer.

        Raises:
            NoResponders: at once, when nobody listens.
            BusUnavailable: no answer within timeout_s, or not connected.
        """
        self._request_number += 1
        number = self._request_number
        future: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()
        self._requests[number] = future
        try:
            reply = f"{self._reply_prefix.decode()}{number}"
            if not self.publish_now(subject, body, reply=reply, headers=headers):
                raise BusUnavailable("not connected")
            async with asyncio.timeout(timeout_s):
                answer = await future
        except TimeoutError:
            raise BusUnavailable(f"{subject}: no answer within {timeout_s:g} s") from None
        finally:
            del self._requests[number]
        if answer[0].startswith(b"NATS/1.0 503"):
            raise NoResponders(f"{subject}: nobody answers")
        return answer

    async def api(self, what: str, body: object = None, *, timeout_s: float) -> dict[str, Any]:
        """A request of JetStream's API (`STREAM.INFO.HOSTS`), repeated while the server is not ready.

        Raises:
            ApiError: the server's error.
            BusUnavailable: no answer within timeout_s.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        payload = msgspec.json.encode(body) if body is not None else b""
        while True:
            try:
                _, answer = await self.call(f"$JS.API.{what}", payload, min(REQUEST_TRY_S, timeout_s))
                fields: dict[str, Any] = msgspec.json.decode(answer)
                error = fields.get("error")
                if error is None:
                    return fields
                failure: BusUnavailable = ApiError(what, error.get("err_code", 0), error.get("description", ""))
                if error.get("err_code", 0) not in NOT_YET:
                    raise failure
            except ApiError:
                raise
            except BusUnavailable as error:
                failure = error
            if loop.time() >= until_s:
                raise failure
            await asyncio.sleep(random.uniform(0.02, 0.1))

    async def round_trip(self, timeout_s: float) -> float:
        """Seconds until the server has taken note of everything sent so far.

        Raises:
            BusUnavailable: not within timeout_s.
        """
        if not self.up:
            raise BusUnavailable("not connected")
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        future: asyncio.Future[Any] = loop.create_future()  # never cancelled: its pong may still come
        await self._send_ping(future)
        await asyncio.wait({future}, timeout=timeout_s)
        if not future.done():
            raise BusUnavailable(f"no answer within {timeout_s:g} s")
        return loop.time() - started_s

    def deliver(self, sid: int, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None:
        """Called by the parser for every message, in order."""
        if (receive := self._receivers.get(sid)) is not None:
            try:
                receive(subject, reply, headers, body)
            except Exception as error:  # noqa: BLE001 - as `guarded`, without its call: this is every message
                report(receive, error)

    def _on_reply(self, subject: bytes, _reply: bytes, headers: bytes, body: bytes) -> None:
        future = self._requests.get(int(subject[len(self._reply_prefix) :]))
        if future is not None and not future.done():
            future.set_result((headers, body))

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        """Behind everything that waits to be sent, so that pongs come in the order of their futures."""
        self._pongs.append(future or asyncio.get_running_loop().create_future())
        await self._send_command(b"PING\r\n")
        await self._flush_pending()

    async def _process_pong(self) -> None:
        self._pings_outstanding = 0
        if self._pongs and not (future := self._pongs.pop(0)).done():
            future.set_result(True)
