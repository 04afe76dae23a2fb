"""Hosts that dial in: a player's way to a map-server that takes no connections from outside (docs/adr/0023).

In: `reach(server, dial)` for a player; connections of agents. Out: host.dial to the agent, and its connection as the server's.
Or, where the host has a port of its own open, one connection there, and the same from then on. Or one that stands already
(reserve.py), and nobody is asked. Nobody who has not been admitted costs more than a socket and one small frame for GREETING_S.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from libs.config import Relay
from libs.events import Event, HostDial, HostDialReply, HostId, MapName, Reply
from libs.events.orders import NO_PORT
from libs.link.dials import DialAccepted, DialComes
from libs.link.frames import frame
from libs.link.keys import passing_identity
from libs.link.peer import split, words
from libs.link.tickets import NONCE_BYTES, BadTicket
from services.relay import wire
from services.relay.connections import ServerSide
from services.relay.dialled import Dialled, Greeting
from services.relay.effects import Dial
from services.relay.expecting import Expected, Expecting, GivenUp, told
from services.relay.reserve import Brought, NotReached, Reserve, Way
from services.relay.ways import Closed, host_of

GREETING_S: Final = 2.0
"""For the handshake and the greeting, together."""
GREETING_MAX: Final = 1_024
GREETING_PER_ADDRESS: Final = 16
"""Beyond the dials that are waited for: all of these may rightly come from one household at once."""
BACKLOG: Final = 1_024
DIRECT_SHARE: Final = 0.6
"""Of connect_timeout_ms, for a host's own port; then the host is asked to come, within what is left."""
CONNECT_S: Final = 0.3
"""Of that, for TCP: a router that forwards nothing says nothing."""
OUR_OWN: Final = ""
"""In place of a household: a connection that we made."""
ACCEPT_AGAIN_S: Final = 0.1
"""When the machine has no more sockets."""
_LOG = logging.getLogger(__name__)
Arrived = asyncio.Future[asyncio.Transport]
"""An admitted agent's connection."""
Ask = Callable[[Event, float], Awaitable[Reply | None]]
OnRefused = Callable[[str | None, str, str], None]
"""(host, why, detail): somebody was refused. host: None where nothing proves that it concerns him."""


class Unanswered(Exception):
    """A port that a host named is closed; the host itself may come all the same."""


@dataclass(frozen=True, slots=True)
class Reached:
    """rtt_ms: of the connection, as the kernel knows it; None: unknown. direct: at the host's own port. begun: the player's
    first words are said already."""

    rtt_ms: float | None
    direct: bool
    begun: bool


class DialBack:
    """ask: a host, over the bus; None: nobody answers. can_ask: there is a bus. now_ms: Unix ms. port: where it listens, once
    started."""

    def __init__(
        self, settings: Relay, ask: Ask, on_refused: OnRefused, now_ms: Callable[[], int], can_ask: Callable[[], bool]
    ) -> None:
        self._settings, self._ask, self._on_refused, self._now_ms = settings, ask, on_refused, now_ms
        self._context, certificate = passing_identity()
        self._certificate = certificate.hex()
        self._expecting: Expecting[Arrived] = Expecting(settings.name, certificate)
        self._socket: socket.socket | None = None
        self._closed = Closed()
        self._greeting: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self.reserve = Reserve(self.bring, settings.connect_timeout_ms, can_ask)
        self.port = 0

    def listen(self) -> None:
        """Raises: OSError: the address cannot be had."""
        host, port = split(self._settings.hosts)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]

    async def run(self) -> None:
        """Takes agents in, and keeps connections to hosts standing, until cancelled."""
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        self._start(self.reserve.run())
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

    async def reach(self, server: ServerSide, dial: Dial) -> Reached:
        """Makes a connection of the host the server's: one that stands, else one that is made now.

        Raises:
            NotReached: and why.
        """
        host = host_of(dial.server)
        if host is None:
            raise NotReached("it is no host")
        way = Way(host, dial.key, dial.address, dial.port, dial.server.partition("/")[2])
        if (brought := await self.reserve.use(server, way, dial)) is not None:
            return Reached(brought.rtt_ms, brought.direct, begun=True)
        brought = await self.bring(way)
        brought.transport.set_protocol(server)
        server.connection_made(Dialled(brought.transport))
        return Reached(brought.rtt_ms, brought.direct, begun=False)

    async def bring(self, way: Way) -> Brought:
        """A connection of the host: ours to the port it has open, where there is one, else its own to us.

        Raises:
            NotReached: and why.
        """
        if way.address and not self._closed.has(way.address, way.port, self._now_ms()):
            try:
                async with asyncio.timeout(DIRECT_SHARE * self._settings.connect_timeout_ms / 1000):
                    return Brought(await self._brought(way, direct=True), direct=True)
            except (Unanswered, TimeoutError) as error:
                _LOG.info("%s is not reached at its port: %s", way.host, error or "not in time")
                if way.map or isinstance(error, Unanswered):  # an agent of before says nothing to a dial without a map
                    self._closed.add(way.address, way.port, self._now_ms())
        return Brought(await self._brought(way, direct=False), direct=False)

    async def _brought(self, way: Way, *, direct: bool) -> asyncio.Transport:
        arrived: Arrived = asyncio.get_running_loop().create_future()
        expected = self._expecting.expect(way.host, way.key, os.urandom(NONCE_BYTES), arrived, self._now_ms())
        try:
            transport = await (self._let_in(expected, way) if direct else self._called(expected, way))
        except BaseException:
            if arrived.done() and not arrived.cancelled():
                arrived.result().abort()
            raise
        finally:
            self._expecting.forget(expected)
            arrived.cancel()
        if transport.is_closing():
            raise NotReached("the host left")
        return transport

    async def _called(self, expected: Expected[Arrived], way: Way) -> asyncio.Transport:
        """The agent says at once why it does not come; that it does, its connection says first."""
        asking = asyncio.ensure_future(self._asked(expected, way, *self._address()))
        try:
            both: set[asyncio.Future[Any]] = {asking, expected.who}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not expected.who.done():
                asking.result()
            return await expected.who
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _let_in(self, expected: Expected[Arrived], way: Way) -> asyncio.Transport:
        """At its own port the agent knows us by the ticket that it was told of; from then on it is as if it had come.

        Raises:
            Unanswered: nobody there.
            NotReached: this machine has no more sockets.
        """
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in way.address else socket.AF_INET
        with contextlib.ExitStack() as until_ours:
            try:
                connection = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                raise NotReached(words(error)) from None
            until_ours.callback(connection.close)
            connection.setblocking(False)
            asking = asyncio.ensure_future(self._asked(expected, way, "", 0))
            try:
                async with asyncio.timeout(CONNECT_S):
                    await loop.sock_connect(connection, (way.address, way.port))
                await asking
                await loop.sock_sendall(connection, frame(DialComes(ticket=expected.ticket)))
            except OSError as error:
                raise Unanswered(words(error)) from None
            finally:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
            until_ours.pop_all()
        self._start(self._take_in(connection, OUR_OWN))
        return await expected.who

    async def _asked(self, expected: Expected[Arrived], way: Way, address: str, port: int) -> None:
        """Returns when the agent does what it was asked for. Raises: NotReached, Unanswered."""
        request = HostDial(
            host=HostId(expected.host),
            relay=self._settings.name,
            address=address,
            port=port,
            ticket=expected.ticket,
            map=MapName(way.map) if way.map else None,
            certificate=self._certificate,
        )
        reply = await self._ask(request, self._settings.connect_timeout_ms / 1000)
        if not isinstance(reply, HostDialReply):
            raise NotReached("the host does not answer")
        if reply.reason == NO_PORT and not address:
            raise Unanswered(NO_PORT)
        if not reply.ok:
            raise NotReached(f"the host: {told(reply.reason)}")

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
            await greeting.refuse(f"the ticket: {error}")
            return
        except GivenUp as error:
            await greeting.refuse(str(error))
            return
        if expected.who.done():
            await greeting.refuse("nobody waits for it any more")
            return
        greeting.transport.write(frame(DialAccepted()))
        expected.who.set_result(greeting.transport)
