"""Listens on loopback for map-servers that want a database, and answers that there is nothing in it.

In: connections. Out: `port`, `password`, `counts`. Started by maps/, once for all map-servers of this agent. It holds nothing,
opens no connection, and lets nobody in without the password that was made at its start.
"""

import asyncio
import logging
import secrets
from itertools import count
from typing import Final, cast

from services.agent.sql import wire
from services.agent.sql.session import HOST, Counts, Session

CONNECTIONS_MAX: Final = 256
"""Three for each map-server (FACTS section 12)."""
STRANGERS_MAX: Final = 32
"""Of them, those that have not shown the password."""
LOGIN_TIMEOUT_S: Final = 10.0
_LOG = logging.getLogger(__name__)


class Responder:
    """`await start()`, then `port` and `password` hold until `close`."""

    def __init__(self) -> None:
        self.password = secrets.token_hex(16)
        self.counts = Counts()
        self.port = 0
        self.connections: set[_Connection] = set()
        self._numbers = count(1)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """
        Raises:
            OSError: this machine lets nobody listen on its loopback.
        """
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in [*self.connections]:
            connection.cut()

    def session(self) -> Session | None:
        """For one more connection; None: there are enough."""
        strangers = sum(not connection.is_in for connection in self.connections)
        if len(self.connections) >= CONNECTIONS_MAX or strangers >= STRANGERS_MAX:
            return None
        scramble = bytes(secrets.choice(range(1, 128)) for _ in range(wire.SCRAMBLE_BYTES))
        return Session(next(self._numbers), self.password.encode(), scramble, self.counts)


class _Connection(asyncio.Protocol):
    """One connection. A peer that reads nothing is not read from either."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._session: Session | None = None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_in(self) -> bool:
        return self._session is not None and self._session.is_in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._session = self._responder.session()
        if self._session is None:
            self._transport.write(wire.packets(0, [wire.error(wire.TOO_MANY_CONNECTIONS, "too many connections")]))
            self._transport.close()
            return
        self._responder.connections.add(self)
        self._timer = asyncio.get_running_loop().call_later(LOGIN_TIMEOUT_S, self._unless_in)
        self._transport.write(self._session.begin())

    def data_received(self, data: bytes) -> None:
        if self._session is None or self._transport is None:
            return
        self._transport.write(self._session.received(data))
        for shape in self._session.news:
            _LOG.info("a map-server asks its database: %s; there is none here, the answer is empty", shape)
        self._session.news.clear()
        if self._session.ended:
            self._transport.close()

    def pause_writing(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's shape
        self._responder.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _unless_in(self) -> None:
        if not self.is_in:
            self.cut()
