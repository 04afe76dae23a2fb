"""An agent's connection to the relay: until it is admitted, and as the server's of a player. Called by back.py."""

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any, Final, cast

from libs.link.dialled import OVER, chunk
from libs.link.dials import DIAL_GREETS, USE_ANSWERS, DialOpen, DialRefused, DialUse
from libs.link.frames import BadFrame, first, frame
from libs.link.messages import GREETING_BYTES_MAX

EARLY_BYTES_MAX: Final = 256 * 1024
"""Between the agent's answer and the turn of the loop in which the player has it."""
_TCP_INFO_RTT: Final = 68
"""Where `tcpi_rtt`, us, stands in struct tcp_info (linux/tcp.h)."""
_LOG = logging.getLogger(__name__)


class Greeting(asyncio.Protocol):
    """An agent until it is admitted. hello: what it says first."""

    def __init__(self) -> None:
        self.hello: asyncio.Future[DialOpen] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self.transport: asyncio.Transport | None = None
        self._begun = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """It waits for our answer: whoever goes on talking is none of ours."""
        self._begun += data
        try:
            found = first(DIAL_GREETS, self._begun, GREETING_BYTES_MAX)
        except BadFrame as error:
            self._fail(str(error))
            return
        if self.hello.done() or (found is not None and found[1]):
            self._fail("it talks before it is answered")
        elif found is not None:
            self.hello.set_result(found[0])

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it ended
        self._over.set()
        self._fail("it left")

    async def refuse(self, why: str) -> None:
        """Returns when it has ended: until then it is one of those that hang about. TLS gives it half a minute for that."""
        _LOG.info("a host's dial is refused: %s", why)
        if self.transport is not None:
            self.transport.write(frame(DialRefused(why=why[:256])))
            self.transport.close()
            await self._over.wait()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _fail(self, why: str) -> None:
        if not self.hello.done():
            self.hello.set_exception(ConnectionAbortedError(why))
            self.hello.exception()  # nobody may be waiting any more
        self.abort()


class Idle(asyncio.Protocol):
    """An agent's connection that was admitted and stands, until a player uses it. on_lost(self): it ended before. rest: what
    his map-server said at once."""

    def __init__(self, transport: asyncio.Transport, on_lost: "Callable[[Idle], None]") -> None:
        self.transport, self._on_lost = transport, on_lost
        self._answer: asyncio.Future[str | None] | None = None
        self._begun = b""
        transport.set_protocol(self)

    @property
    def rest(self) -> bytes:
        return self._begun

    async def use(self, map_: str, first_words: bytes) -> str | None:
        """It becomes a player's. first_words: what he says, sent along. None: his map-server has him; else why it has not, and
        has heard nothing.

        Raises:
            ConnectionAbortedError: it ended, and whether anything was heard is not known.
        """
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(frame(DialUse(map=map_)) + (chunk(first_words) if first_words else b""))
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._begun += data
        if self._answer is None or len(self._begun) > EARLY_BYTES_MAX:
            self.transport.abort()  # it talks unasked
            return
        if self._answer.done():
            return
        try:
            found = first(USE_ANSWERS, self._begun, GREETING_BYTES_MAX)
        except BadFrame:
            self.transport.abort()
            return
        if found is not None:
            answer, self._begun = found
            self.transport.pause_reading()
            self._answer.set_result(answer.why if isinstance(answer, DialRefused) else None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it ended
        if self._answer is None:
            self._on_lost(self)
        elif not self._answer.done():
            self._answer.set_exception(ConnectionAbortedError("it left"))
            self._answer.exception()  # nobody may be waiting any more


class Dialled(asyncio.Transport):
    """An agent's connection as a `ServerSide` uses it: what the player says goes in chunks, his end is a chunk as well."""

    def __init__(self, to: asyncio.Transport) -> None:
        super().__init__()
        self._to = to

    def write(self, data: Any) -> None:
        self._to.write(chunk(data))

    def write_eof(self) -> None:
        self._to.write(OVER)

    def is_closing(self) -> bool:
        return self._to.is_closing()

    def abort(self) -> None:
        self._to.abort()

    def pause_reading(self) -> None:
        self._to.pause_reading()

    def resume_reading(self) -> None:
        self._to.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._to.set_write_buffer_limits(high, low)


def rtt_ms(connection: socket.socket) -> float | None:
    """The kernel's smoothed round trip of a connection: the other end cannot make it shorter than the way. Linux alone."""
    with contextlib.suppress(OSError, AttributeError, struct.error):
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_RTT + 4)
        return float(struct.unpack_from("=I", info, _TCP_INFO_RTT)[0]) / 1000 or None
    return None
