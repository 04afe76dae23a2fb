"""A port of this machine that the player's router forwards: relays come to it, those alone that host.dial announced.

In: what host.dial told, `expect`; connections. Out: `let_in`, with that of a relay that says the ticket it was told with.
Whoever says anything else, or nothing, is closed. Called by dialing.py.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from libs.events import HostDial
from libs.link.dials import DIAL_COMES
from libs.link.frames import BadFrame, first
from libs.link.messages import GREETING_BYTES_MAX
from services.agent.pipe import NotDialled

EXPECTED_MAX: Final = 256
EXPECT_S: Final = 3.0
GREETING_S: Final = 2.0
GREETING_MAX: Final = 64
"""Strangers at once, and relays that have not said their ticket yet; beyond it players come by dial."""
READ_BYTES: Final = 4_096
BACKLOG: Final = 64
ACCEPT_AGAIN_S: Final = 0.1
_LOG = logging.getLogger(__name__)


class RelayPort:
    """let_in(dial, connection): a relay that was expected; it has the connection from then on."""

    def __init__(self, let_in: Callable[[HostDial, socket.socket], Awaitable[None]]) -> None:
        self._let_in = let_in
        self._loop = asyncio.get_running_loop()
        self._expected: dict[str, tuple[HostDial, float]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._greeting = 0
        self._listener: socket.socket | None = None

    def listen(self, port: int) -> int:
        """Raises: OSError."""
        self._listener = socket.create_server(("", port), backlog=BACKLOG)
        self._listener.setblocking(False)
        self._start(self._accept(self._listener))
        return int(self._listener.getsockname()[1])

    def expect(self, dial: HostDial) -> None:
        """A relay comes for this dial, soon. Raises: NotDialled: too many do."""
        now_s = self._loop.time()
        self._expected = {ticket: (told, until_s) for ticket, (told, until_s) in self._expected.items() if until_s > now_s}
        if len(self._expected) >= EXPECTED_MAX:
            raise NotDialled(f"{EXPECTED_MAX} players come at once")
        self._expected[dial.ticket] = dial, now_s + EXPECT_S

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = await self._loop.sock_accept(listener)
            except OSError as error:
                _LOG.warning("a relay's connection is not taken: %s", error.strerror or error)
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            if self._greeting < GREETING_MAX:
                self._start(self._greet(connection))
            else:
                connection.close()

    async def _greet(self, connection: socket.socket) -> None:
        self._greeting += 1
        dial: HostDial | None = None
        try:
            connection.setblocking(False)
            with contextlib.suppress(OSError, BadFrame, ValueError):  # a timeout is an OSError
                async with asyncio.timeout(GREETING_S):
                    dial = self._known(await self._ticket(connection))
        finally:
            self._greeting -= 1
            if dial is None:
                connection.close()
        if dial is not None:
            await self._let_in(dial, connection)

    async def _ticket(self, connection: socket.socket) -> str:
        """Raises: OSError, BadFrame; ValueError: it says more than is asked, before it is answered."""
        begun = b""
        while (found := first(DIAL_COMES, begun, GREETING_BYTES_MAX)) is None:
            if not (data := await self._loop.sock_recv(connection, READ_BYTES)):
                raise ConnectionAbortedError
            begun += data
        if found[1]:
            raise ValueError
        return found[0].ticket

    def _known(self, ticket: str) -> HostDial | None:
        """Once."""
        dial, until_s = self._expected.pop(ticket, (None, 0.0))
        return dial if self._loop.time() < until_s else None
