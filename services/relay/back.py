"""Hosts that dial in: a player's way to a map-server that takes no connections from outside (docs/adr/0023).

In: `reach(server, dial)` for a player; connections of agents. Out: host.dial to the agent, and its connection as the server's.
Or, where the host has a port of its own open, one connection there, and the same from then on. Nobody who has not been admitted
costs more than a socket and one small frame for GREETING_S.
"""

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from libs.config import Relay
from libs.events import Event, HostDial, HostDialReply, HostId, MapName, Reply
from libs.link.dialled import OVER, chunk
from libs.link.frames import BadFrame, first, frame
from libs.link.keys import passing_identity
from libs.link.messages import DIAL_GREETS, GREETING_BYTES_MAX, DialAccepted, DialOpen, DialRefused
from libs.link.peer import split, words
from libs.link.tickets import NONCE_BYTES, BadTicket
from services.relay import wire
from services.relay.connections import ServerSide
from services.relay.effects import Dial
from services.relay.expecting import Expected, Expecting, GivenUp, told
from services.relay.ways import host_of

GREETING_S: Final = 2.0
"""For the handshake and the greeting, together."""
GREETING_MAX: Final = 1_024
GREETING_PER_ADDRESS: Final = 16
"""Beyond the dials that are waited for: all of these may rightly come from one household at once."""
BACKLOG: Final = 1_024
ACCEPT_AGAIN_S: Final = 0.1
"""When the machine has no more sockets."""
_TCP_INFO_RTT: Final = 68
"""Where `tcpi_rtt`, us, stands in struct tcp_info (linux/tcp.h)."""
_LOG = logging.getLogger(__name__)
Arrived = asyncio.Future[tuple[asyncio.Transport, float | None]]
"""An admitted agent's connection, and its round trip as the kernel knows it, ms."""
Ask = Callable[[Event, float], Awaitable[Reply | None]]
OnRefused = Callable[[str | None, str, str], None]
"""(host, why, detail): somebody was refused. host: None where nothing proves that it concerns him."""


class NotReached(Exception):
    """Why, in words."""


class DialBack:
    """ask: a host, over the bus; None: nobody answers. now_ms: Unix ms. port: where it listens, once started."""

    def __init__(self, settings: Relay, ask: Ask, on_refused: OnRefused, now_ms: Callable[[], int]) -> None:
        self._settings, self._ask, self._on_refused, self._now_ms = settings, ask, on_refused, now_ms
        self._context, certificate = passing_identity()
        self._certificate = certificate.hex()
        self._expecting: Expecting[Arrived] = Expecting(settings.name, certificate)
        self._socket: socket.socket | None = None
        self._greeting: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    def listen(self) -> None:
        """Raises: OSError: the address cannot be had."""
        host, port = split(self._settings.hosts)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]

    async def run(self) -> None:
        """Takes agents in until cancelled."""
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    taken, at = await loop.sock_accept(self._socket)
                except OSError as error:
                    _LOG.warning("a host's connection is not taken: %s", error.strerror or error)
                    await asyncio.sleep(ACCEPT_AGAIN_S)
                    continue
                household = wire.household(str(at[0]))
                if self._has_room(household):
                    self._start(self._take_in(taken, household))
                else:
                    taken.close()
        finally:
            self._socket.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def reach(self, server: ServerSide, dial: Dial) -> float | None:
        """Makes the host's connection the server's. Returns its round trip as the kernel knows it, ms; None: unknown.

        Raises:
            NotReached: and why.
        """
        host, name = host_of(dial.server), dial.server.partition("/")[2]
        if host is None or self._socket is None:
            raise NotReached("no host can dial this relay" if host is not None else "it is no host")
        arrived: Arrived = asyncio.get_running_loop().create_future()
        expected = self._expecting.expect(host, dial.key, os.urandom(NONCE_BYTES), arrived, self._now_ms())
        try:
            transport, rtt = await self._called(expected, host, MapName(name), arrived)
        except BaseException:
            if arrived.done() and not arrived.cancelled():
                arrived.result()[0].abort()
            raise
        finally:
            self._expecting.forget(expected)
            arrived.cancel()
        if transport.is_closing():
            raise NotReached("the host left")
        transport.set_protocol(server)
        server.connection_made(Dialled(transport))
        return rtt

    async def _called(
        self, expected: Expected[Arrived], host: HostId, name: MapName, arrived: Arrived
    ) -> tuple[asyncio.Transport, float | None]:
        """The agent says at once why it does not come; that it does, its connection says first."""
        address, port = self._address()
        request = HostDial(
            host=host,
            relay=self._settings.name,
            address=address,
            port=port,
            ticket=expected.ticket,
            map=name,
            certificate=self._certificate,
        )
        timeout_s = self._settings.connect_timeout_ms / 1000
        asking = asyncio.ensure_future(self._ask(request, timeout_s))
        try:
            both: set[asyncio.Future[Any]] = {asking, arrived}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not arrived.done():
                reply = asking.result()
                if not isinstance(reply, HostDialReply):
                    raise NotReached("the host does not answer")
                if not reply.ok:
                    raise NotReached(f"the host: {told(reply.reason)}")
            return await arrived
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    def _address(self) -> tuple[str, int]:
        """As hosts reach us."""
        if self._settings.hosts_public:
            return split(self._settings.hosts_public)
        return split(self._settings.public)[0], self.port

    # -- agents that come -------------------------------------------------------------------------------------------------

    def _has_room(self, household: str) -> bool:
        of_it = self._greeting[household]
        return self._greeting.total() < GREETING_MAX and of_it < GREETING_PER_ADDRESS + len(self._expecting)

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_in(self, taken: socket.socket, household: str) -> None:
        self._greeting[household] += 1
        greeting = Greeting()
        try:
            async with asyncio.timeout(GREETING_S):
                await self._greet(taken, greeting)
        except (OSError, TimeoutError) as error:
            _LOG.debug("a host's connection ends before its greeting: %s", words(error))
            greeting.abort()
            taken.close()
        finally:
            self._greeting[household] -= 1
            if not self._greeting[household]:
                del self._greeting[household]

    async def _greet(self, taken: socket.socket, greeting: "Greeting") -> None:
        """Raises: OSError: no TLS, or it left."""
        loop = asyncio.get_running_loop()
        taken.setblocking(False)
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.connect_accepted_socket(lambda: greeting, taken, ssl=self._context, ssl_handshake_timeout=GREETING_S)
        hello = await greeting.hello
        assert greeting.transport is not None
        try:
            expected = self._expecting.admit(hello, self._now_ms())
        except BadTicket as error:
            self._on_refused(hello.host if error.signed else None, error.why, str(error))
            greeting.refuse(f"the ticket: {error}")
            return
        except GivenUp as error:
            greeting.refuse(str(error))
            return
        if expected.who.done():
            greeting.refuse("nobody waits for it any more")
            return
        greeting.transport.write(frame(DialAccepted()))
        expected.who.set_result((greeting.transport, rtt_ms(taken)))


class Greeting(asyncio.Protocol):
    """An agent until it is admitted. hello: what it says first."""

    def __init__(self) -> None:
        self.hello: asyncio.Future[DialOpen] = asyncio.get_running_loop().create_future()
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
        self._fail("it left")

    def refuse(self, why: str) -> None:
        _LOG.info("a host's dial is refused: %s", why)
        if self.transport is not None:
            self.transport.write(frame(DialRefused(why=why[:256])))
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _fail(self, why: str) -> None:
        if not self.hello.done():
            self.hello.set_exception(ConnectionAbortedError(why))
            self.hello.exception()  # nobody may be waiting any more
        self.abort()


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
