"""One attempt to connect, as nats-py makes it, with what it leaves out. Base of libs.bus.connection.Connection.

- An attempt by websocket ends in time, too; nats-py gives aiohttp another timeout than it means.
- What an attempt left behind, refused or broken, is closed before the next one; nats-py forgets it, socket and all.
- TLS that was asked for is insisted on: nats-py goes on in the clear with a server, or somebody before it, that offers none.
"""

import asyncio
from contextlib import suppress
from typing import Any

from nats import errors
from nats.aio.client import Client, Srv

WEBSOCKET_END_S = 1.0


class Dialing(Client):
    """insist: no word goes out before the connection is encrypted."""

    def __init__(self) -> None:
        super().__init__()
        self.insist = False

    async def _connect_to_server(self, s: Srv) -> None:
        await self._forget_transport()
        async with asyncio.timeout(self.options["connect_timeout"]):
            await super()._connect_to_server(s)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        scheme = self._current_server.uri.scheme if self._current_server else ""
        is_encrypted = scheme == "wss" if scheme in ("ws", "wss") else info.get("tls_required")
        if initial_connection and self.insist and not is_encrypted:
            raise errors.Error("the server offers no TLS, and without it nothing is said to it")
        await super()._process_info(info, initial_connection)

    @property
    def _writer(self) -> asyncio.StreamWriter | None:
        """Of TCP; a websocket has none."""
        return getattr(self._transport, "_io_writer", None)

    async def _forget_transport(self) -> None:
        transport: Any = self._transport
        writer, self._transport = self._writer, None
        if writer is not None:
            writer.transport.abort()
            return
        for half in (getattr(transport, "_ws", None), getattr(transport, "_client", None)):
            if half is not None:
                with suppress(TimeoutError, OSError):
                    await asyncio.wait_for(half.close(), WEBSOCKET_END_S)
