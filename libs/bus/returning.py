"""A connection that comes back after each break, and ends in bounded time. Base of libs.bus.connection.Connection.

What differs from nats-py, and why:
- an error the server ends the connection with means reconnect, never a silent end; so does any failure while reconnecting;
- what the server refuses is remembered, and costs no connection;
- it can be closed in the midst of a reconnect: nats-py waits there for a future that it has just cancelled.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from nats import errors
from nats.aio.client import Client, Server
from nats.protocol.parser import PERMISSIONS_ERR

from libs.bus.dialing import Dialing
from libs.bus.guard import end, guarded

ATTEMPT_TIMEOUT_S = 2
"""One attempt to connect."""
RECONNECT_WAIT_S_MIN = 0.05
RECONNECT_WAIT_S_MAX = 1.0
CLOSE_TIMEOUT_S = 5.0
FORBIDDEN_MAX = 64
"""Refusals remembered; only the newest are asked for."""
_LOG = logging.getLogger(__name__)


class Returning(Dialing):
    """`watchers` are called with True after each reconnect, with False when the connection breaks."""

    def __init__(self) -> None:
        super().__init__()
        self._up = False
        self.closing = False
        self.watchers: list[Callable[[bool], None]] = []
        self.forbidden: deque[str] = deque(maxlen=FORBIDDEN_MAX)
        """What the server refused us, as it said it."""
        self.refused = False
        """While down: the server answers, and does not accept our credentials any more."""
        self.breaks = 0
        """How often the connection broke."""

    @property
    def up(self) -> bool:
        return self._up and self._status == Client.CONNECTED

    def is_forbidden(self, verb: str, subject: str) -> bool:
        """The server refused us this: verb `Publish` or `Subscription`."""
        return any(f'{verb} to "{subject}"' in refusal for refusal in self.forbidden)

    async def _process_err(self, err_msg: str) -> None:
        if PERMISSIONS_ERR in err_msg.lower():
            self.forbidden.append(err_msg)
            _LOG.error("the NATS server refuses: %s", err_msg)
            return
        _LOG.warning("the NATS server ends the connection: %s", err_msg)
        await self._process_op_err(errors.Error(f"nats: {err_msg}"))

    async def close(self) -> None:
        """What is not yet in the socket is dropped; `round_trip` first. Bounded."""
        self.closing = True
        self._cut()
        await self._end_reconnecting()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await super().close()
        except (TimeoutError, OSError) as error:
            _LOG.warning("closing the connection to NATS: %r", error)
        await self._end_reconnecting()

    async def _end_reconnecting(self) -> None:
        """Before nats-py's own close: both wait for the end of one socket, and who cancels one wait cancels the other."""
        if self._reconnection_task is not None and not self._reconnection_task.done():
            await end([self._reconnection_task])
            await self._forget_transport()

    def _cut(self) -> None:
        """Drop what waits to be sent and the socket with it: an orderly end would wait for a peer that reads no more."""
        self._up = False
        self._pending, self._pending_data_size = [], 0
        if self._writer is not None:  # a websocket bounds its own end
            self._writer.transport.abort()

    async def _attempt_reconnect(self) -> None:
        self._cut()
        self.breaks += 1
        if not self.closing:
            _LOG.warning("the connection to NATS is lost; reconnecting")
        self._tell(False)
        while True:
            try:
                await super()._attempt_reconnect()
            except Exception as error:  # noqa: BLE001 - whatever went wrong, without this task nobody reconnects
                _LOG.warning("reconnecting to NATS failed: %r", error)
                await asyncio.sleep(RECONNECT_WAIT_S_MAX)
                self._status = Client.RECONNECTING
            else:
                return

    async def reconnect(self, why: str) -> None:
        """Give up this socket and open another; for who knows that it is dead before a ping could tell."""
        await self._process_op_err(ConnectionResetError(why))

    async def on_reconnected(self) -> None:
        """Given to nats-py as reconnected_cb."""
        self._up, self.refused = True, False
        _LOG.warning("connected to NATS again")
        self._tell(True)

    def _tell(self, up: bool) -> None:
        for watcher in list(self.watchers):
            guarded(watcher, up)


def reconnect_wait(servers: list[Server], _info: dict[str, Any]) -> tuple[Server | None, float]:
    """The server tried least, and seconds to wait before: growing, with jitter, so that agents do not all come at once."""
    server = min(servers, key=lambda each: each.reconnects)
    ceiling = min(RECONNECT_WAIT_S_MAX, RECONNECT_WAIT_S_MIN * 2 ** min(server.reconnects + 1, 10))
    return server, random.uniform(RECONNECT_WAIT_S_MIN, ceiling)
