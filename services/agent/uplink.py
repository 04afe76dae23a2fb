"""One connection of the agent to the bridge, from its attempt to its end: TLS, the bridge's certificate, a greeting, records.

In: where, and what to greet with. Out: the bridge's answer, then bytes for the session. Called by link.py, again and again.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Final, cast

from libs.link.frames import BadFrame, first, frame
from libs.link.keys import linking_context, shown_by
from libs.link.messages import BRIDGE_GREETS, GREETING_BYTES_MAX, LinkAccepted, LinkOpen, LinkRefused, LinkResume, LinkResumed

CONNECT_TIMEOUT_S: Final = 2.0
GREETING_TIMEOUT_S: Final = 3.0
SILENT_S: Final = 0.75
"""The bridge beats four times a second: a line on which nothing came for three beats is tried anew; TCP is more patient."""
BEAT_S: Final = 0.25
HIGH_BYTES: Final = 256 * 1024
_LOG = logging.getLogger(__name__)


class NoLink(Exception):
    """This attempt came to nothing; the next may succeed."""


class Refused(Exception):
    """The bridge answered, and does not take this greeting."""


class Uplink(asyncio.Protocol):
    """on_data(bytes): of the session's records. on_room(): it may be written again. beat(): what to say four times a second.
    greeted: the greeting is on its way, and may have arrived."""

    def __init__(self, on_data: Callable[[bytes], None], on_room: Callable[[], None], beat: Callable[[], bytes]) -> None:
        loop = asyncio.get_running_loop()
        self._on_data, self._on_room, self._beat = on_data, on_room, beat
        self._loop = loop
        self._answer: asyncio.Future[LinkAccepted | LinkResumed] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()
        self._begun: bytes | None = b""
        self._rest = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard_s = self._beat_s = 0.0
        self._full = False
        self.greeted = False

    async def greet(
        self, address: str, port: int, certificate: bytes, hello: LinkOpen | LinkResume
    ) -> LinkAccepted | LinkResumed:
        """Connects and greets. After it, `start` hands out what came meanwhile.

        Raises:
            NoLink: nobody there, not in time, or not the bridge.
            Refused: it said no, and why.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._loop.create_connection(lambda: self, address, port, ssl=linking_context(), server_hostname="")
            self._check(certificate)
            self.write(frame(hello))
            self.greeted = True
            async with asyncio.timeout(GREETING_TIMEOUT_S):
                return await self._answer
        except TimeoutError:
            raise NoLink("no answer in time") from None
        except ssl.SSLError as error:
            raise NoLink(f"no TLS: {error.reason or type(error).__name__}") from None
        except OSError as error:
            raise NoLink(error.strerror or type(error).__name__) from None

    def _check(self, certificate: bytes) -> None:
        assert self._transport is not None
        if shown_by(self._transport) != certificate:
            self.abort("it is not the bridge the order names")
            raise NoLink("who answers is not the bridge the order names: its certificate is another")

    def start(self) -> None:
        """The session is ready for what came behind the answer, and beats from now on."""
        self._heard_s = self._beat_s = self._loop.time()
        self._tick()
        rest, self._rest = self._rest, b""
        if rest:
            self._on_data(rest)

    @property
    def has_room(self) -> bool:
        return not self._full and self._transport is not None and not self._transport.is_closing()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def abort(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_result(why)
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """When all that was written is sent. `ended` is not waited for: who does not read is cut at the next beat."""
        if not self.ended.done():
            self.ended.set_result("closed here")
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_BYTES)

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._loop.time()
        if self._begun is not None:
            self._on_greeting(data)
        elif self._timer is None:
            self._rest += data  # bounded by the credit the bridge has
        else:
            self._on_data(data)

    def _on_greeting(self, data: bytes) -> None:
        assert self._begun is not None
        self._begun += data
        try:
            found = first(BRIDGE_GREETS, self._begun, GREETING_BYTES_MAX)
        except BadFrame as error:
            self._fail(NoLink(f"it does not speak our language: {error}"))
            return
        if found is None:
            return
        answer, self._rest = found
        self._begun = None
        if isinstance(answer, LinkRefused):
            self._fail(Refused(answer.why))
        elif not self._answer.done():
            self._answer.set_result(answer)

    def _fail(self, error: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(error)
        self.abort(str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        why = "the connection ended" if exc is None else getattr(exc, "strerror", None) or type(exc).__name__
        if not self._answer.done():
            self._answer.set_exception(NoLink(why))
            self._answer.exception()  # nobody may be waiting any more
        if not self.ended.done():
            self.ended.set_result(why)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._on_room()

    def _tick(self) -> None:
        """Silence is judged only if we ourselves were awake."""
        now_s = self._loop.time()
        if now_s - self._beat_s > 2 * BEAT_S:
            self._heard_s = now_s
        self._beat_s = now_s
        if now_s - self._heard_s > SILENT_S:
            self.abort(f"nothing heard for {SILENT_S:g} s")
            return
        self._timer = self._loop.call_later(BEAT_S, self._tick)
        if self.has_room:
            self.write(self._beat())
