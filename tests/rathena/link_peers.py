"""Both ends of the connection between bridge and relay over real sockets, and what each heard. For tests."""

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncIterator
from typing import Any

from libs.link.dialer import Dialer
from libs.link.messages import BridgeSays, Message, RelayHello
from libs.link.peer import Peer

HELLO = RelayHello(relay="relay", region="eu", players=[])


class Heard:
    """What one end heard, of all connections."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.lost: list[str] = []
        self.peers: list[Peer[Any]] = []

    def on_peer(self, peer: Peer[Any]) -> "Heard":
        self.peers.append(peer)
        return self

    def on_message(self, message: Message) -> None:
        self.messages.append(message)

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)


@contextlib.asynccontextmanager
async def dialed(
    port: int, context: ssl.SSLContext | None = None, hello: tuple[Message, ...] = (HELLO,)
) -> AsyncIterator[tuple[Dialer[Any], Heard]]:
    heard = Heard()
    dialer: Dialer[Any] = Dialer(
        f"127.0.0.1:{port}",
        context,
        BridgeSays,
        hello=lambda: hello,
        on_message=heard.on_message,
        on_change=lambda connected: None if connected else heard.lost.append("lost"),
        rng=random.Random(1),
    )
    running = asyncio.ensure_future(dialer.run())
    try:
        yield dialer, heard
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
