"""One connection between bridge and relay, from either end: messages in order, a dead peer found, a slow one cut.

The bridge listens (`serve`), relays dial (libs/link/dialer.py). Both ends say the empty frame twice a second; who says nothing
at all for DEAD_S is dead. Nothing is kept for a peer that is away: the relay's hello restates everything.
"""

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from libs.link.frames import ALIVE, BadFrame, Frames, frame
from libs.link.messages import Message
from libs.link.tls import RELAY, names

BEAT_S: Final = 0.5
DEAD_S: Final = 1.5
"""Found at the next beat: within 2 s of the peer's last word."""
HANDSHAKE_TIMEOUT_S: Final = 5.0
SEND_BYTES_MAX: Final = 16 * 1024 * 1024
"""Unsent bytes of a peer that does not read: twice the largest frame, then it is cut."""
PEERS_MAX: Final = 64
"""Relays at one bridge; more are no relays of ours."""
_LOG = logging.getLogger(__name__)
M = TypeVar("M", bound=Message)


class Handler(Protocol[M]):  # type: ignore[misc]
    """Who hears one peer. Both are called from the event loop, in order; `on_lost` once, at the end."""

    def on_message(self, message: M) -> None: ...

    def on_lost(self, reason: str) -> None: ...


class Peer(asyncio.Protocol, Generic[M]):
    """One live connection. says: the union of what the other end may say. on_open: called once, gives who hears it."""

    def __init__(self, says: object, on_open: "Callable[[Peer[M]], Handler[M]]", expect: str | None) -> None:
        self._frames: Frames[M] = Frames(says)
        self._on_open, self._expect = on_open, expect
        self._transport: asyncio.Transport | None = None
        self._handler: Handler[M] | None = None
        self._why = "it closed the connection"
        self._timer: asyncio.TimerHandle | None = None
        self._heard_s = self._beat_s = 0.0

    @property
    def connected(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def say(self, message: M | Message) -> bool:
        """False: it was not sent, the connection has ended or ends now because the peer does not read."""
        return self._write(frame(message))

    def cut(self, reason: str) -> None:
        """End it without ceremony; `on_lost` follows."""
        if self._transport is not None and not self._transport.is_closing():
            self._why = reason
            self._transport.abort()

    def close(self) -> None:
        """End it when all that was said is sent."""
        if self._transport is not None:
            self._why = "closed here"
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        secured = transport.get_extra_info("ssl_object")
        if secured is not None and self._expect not in names(secured.getpeercert()):
            self.cut(f"its certificate does not carry the name {self._expect}")
            return
        self._heard_s = self._beat_s = time.monotonic()
        self._handler = self._on_open(self)
        self._beat()

    def data_received(self, data: bytes) -> None:
        if self._handler is None:
            return
        self._heard_s = time.monotonic()
        try:
            messages = self._frames.feed(data)
        except BadFrame as error:
            self.cut(f"it does not speak our language: {error}")
            return
        for message in messages:
            self._handler.on_message(message)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._handler is not None:
            handler, self._handler = self._handler, None
            handler.on_lost(words(error) if error else self._why)

    def _write(self, data: bytes) -> bool:
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > SEND_BYTES_MAX:
            self.cut("it does not read what it is told")
            return False
        return True

    def _beat(self) -> None:
        """Silence is judged only if we ourselves were awake: a process that was stopped has not heard anybody."""
        now_s = time.monotonic()
        if now_s - self._beat_s > 2 * BEAT_S:
            self._heard_s = now_s
        self._beat_s = now_s
        if now_s - self._heard_s > DEAD_S:
            self.cut(f"it said nothing for {DEAD_S:g} s")
        elif self._write(ALIVE):
            self._timer = asyncio.get_running_loop().call_later(BEAT_S, self._beat)


def split(address: str) -> tuple[str, int]:
    """host:port; an IPv6 host is in brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def reachable(address: str, context: ssl.SSLContext | None) -> tuple[str, int]:
    host, port = split(address)
    if context is None and not (host in ("localhost", "::1") or host.startswith("127.")):
        raise ValueError(f"{address}: without certificates bridge and relay speak on one machine only")
    return host, port


class Listening:
    """What `serve` made. port: the one it got."""

    def __init__(self, server: asyncio.Server, peers: set[Peer[Any]]) -> None:
        self._server, self._peers = server, peers
        self.port: int = server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """No more peers, and those there are cut."""
        self._server.close()
        for peer in list(self._peers):
            peer.cut("we end")
        await self._server.wait_closed()


async def serve(
    listen: str,
    context: ssl.SSLContext | None,
    says: object,
    on_peer: Callable[[Peer[M]], Handler[M]],
    *,
    expect: str = RELAY,
) -> Listening:
    """Take in peers on `listen` (host:port, port 0 for any). context: None on loopback only; everybody may speak then.

    says: what peers may say, `messages.RelaySays` at the bridge. expect: the name in their certificate.

    Raises:
        OSError: the address cannot be had.
        ValueError: no TLS, and the address is not of this machine alone.
    """
    peers: set[Peer[M]] = set()

    def opened(peer: Peer[M]) -> Handler[M]:
        if len(peers) >= PEERS_MAX:
            peer.cut("too many peers")
            return _Kept(peers, peer, None)
        peers.add(peer)
        return _Kept(peers, peer, on_peer(peer))

    host, port = reachable(listen, context)
    server = await asyncio.get_running_loop().create_server(
        lambda: Peer(says, opened, expect),
        host,
        port,
        ssl=context,
        ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S if context else None,
    )
    return Listening(server, peers)


class _Kept(Generic[M]):
    """A peer's handler, and the peer's place in the list."""

    def __init__(self, peers: set[Peer[M]], peer: Peer[M], handler: Handler[M] | None) -> None:
        self._peers, self._peer, self._handler = peers, peer, handler

    def on_message(self, message: M) -> None:
        if self._handler is not None:
            self._handler.on_message(message)

    def on_lost(self, reason: str) -> None:
        self._peers.discard(self._peer)
        if self._handler is not None:
            _LOG.info("a peer is gone: %s", reason)
            self._handler.on_lost(reason)


def words(error: Exception) -> str:
    """What went wrong, without the address that asyncio puts into it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0 and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    return type(error).__name__
