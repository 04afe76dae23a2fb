"""The bridge's TCP connections to the char-server and from map-servers. In: bytes. Out: whole packets to the core, in order.

A peer that sends what is no packet is cut; one that does not read what it is sent is cut at BUFFER_BYTES_MAX. A char-server
that does not read stops us from reading map-servers.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import cast

from libs.link.peer import HANDSHAKE_TIMEOUT_S, split
from libs.rathena.framing import CHAR_TO_MAP, MAP_TO_CHAR, BadStream, Splitter

BUFFER_BYTES_MAX = 64 * 1024 * 1024
"""To one map-server. The entry of 300 players at once; more is not read any more."""
CHAR_HIGH_BYTES = 8 * 1024 * 1024
CHAR_LOW_BYTES = 1024 * 1024
CONNECT_TIMEOUT_S = 1.0
RETRY_S = (0.05, 1.0)
KEEPALIVE_S = 20.0
"""A char-server answers our 2b23; one that says nothing for twice this long is gone."""
_LOG = logging.getLogger(__name__)


class MapServer:
    """What a map-server says, over whatever connection: whole packets in order, until it ends. number: never used twice.

    A connection calls `made`, `heard` with bytes, `gone`; it implements `begin`, `send`, `close` and `pause`.
    """

    def __init__(self, number: int, links: "Links") -> None:
        self.number = number
        self._links = links
        self._splitter = Splitter(MAP_TO_CHAR)
        self.linked = False

    def made(self) -> None:
        self._links.made(self)
        self.linked = True
        self.begin()

    def begin(self) -> None:
        """It is connected; of the VPS it needs to say no more."""
        self._links.on_linked(self.number)

    def heard(self, data: bytes) -> None:
        if not self.linked:
            return
        try:
            packets = self._splitter.feed(data)
        except BadStream as error:
            self.end(str(error))
            return
        self._links.on_packets(self.number, packets)

    def gone(self) -> None:
        if self.linked:
            self.linked = False
            self._links.gone(self)

    def end(self, reason: str, *, orderly: bool = False) -> None:
        """What was sent before is sent still, where the peer reads; nothing it says counts any more."""
        if self.linked:
            _LOG.log(logging.INFO if orderly else logging.WARNING, "map-server link %d is cut: %s", self.number, reason)
        self.gone()
        self.close(reason)

    def send(self, packet: bytes) -> None:
        raise NotImplementedError

    def close(self, reason: str) -> None:
        raise NotImplementedError

    def pause(self, paused: bool) -> None:
        raise NotImplementedError


class NodeLink(MapServer, asyncio.Protocol):
    """A map-server's own TCP connection."""

    def __init__(self, number: int, links: "Links") -> None:
        super().__init__(number, links)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.made()

    def data_received(self, data: bytes) -> None:
        self.heard(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.gone()

    def send(self, packet: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > BUFFER_BYTES_MAX:
            self.end("it does not read")
            return
        self._transport.write(packet)

    def close(self, reason: str) -> None:  # noqa: ARG002 - it is told nothing
        if self._transport is not None:
            self._transport.close()

    def pause(self, paused: bool) -> None:
        if self._transport is not None and not self._transport.is_closing():
            (self._transport.pause_reading if paused else self._transport.resume_reading)()


class Links:
    """All map-server links. on_linked(number), on_packets(number, packets), on_gone(number)."""

    def __init__(
        self,
        on_linked: Callable[[int], None],
        on_packets: Callable[[int, list[bytes]], None],
        on_gone: Callable[[int], None],
    ) -> None:
        self.on_linked, self.on_packets, self._on_gone = on_linked, on_packets, on_gone
        self._links: dict[int, MapServer] = {}
        self._number = 0
        self._paused = False

    def protocol(self) -> NodeLink:
        return NodeLink(self.next_number(), self)

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def made(self, link: MapServer) -> None:
        self._links[link.number] = link
        if self._paused:
            link.pause(True)

    def gone(self, link: MapServer) -> None:
        if self._links.pop(link.number, None) is not None:
            self._on_gone(link.number)

    def send(self, number: int, packet: bytes) -> None:
        if (link := self._links.get(number)) is not None:
            link.send(packet)

    def cut(self, number: int, reason: str, *, orderly: bool = False) -> None:
        if (link := self._links.get(number)) is not None:
            link.end(reason, orderly=orderly)

    def pause(self, paused: bool) -> None:
        """The char-server does not keep up."""
        self._paused = paused
        for link in self._links.values():
            link.pause(paused)

    def close(self) -> None:
        for link in list(self._links.values()):
            link.end("the bridge ends", orderly=True)


class CharLink(asyncio.Protocol):
    """The one connection to the char-server, made anew whenever it ends.

    on_up(), on_packets(packets), on_down(); pause(bool): stop or go on reading map-servers.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        on_up: Callable[[], None],
        on_packets: Callable[[list[bytes]], None],
        on_down: Callable[[], None],
        pause: Callable[[bool], None],
    ) -> None:
        self._host, self._port = host, port
        self._on_up, self._on_packets, self._on_down, self._pause = on_up, on_packets, on_down, pause
        self._splitter = Splitter(CHAR_TO_MAP)
        self._transport: asyncio.Transport | None = None
        self._heard_s = 0.0
        self._ended = asyncio.Event()
        self.refused = False
        """Set by the core: come back slowly."""

    async def run(self, keepalive: bytes) -> None:
        """Connects, and again after each end; until cancelled."""
        wait_s = RETRY_S[0]
        loop = asyncio.get_running_loop()
        while True:
            self._ended.clear()
            self._splitter = Splitter(CHAR_TO_MAP)
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await loop.create_connection(lambda: self, self._host, self._port)
                wait_s = RETRY_S[0]
                await self._live(keepalive)
            except (TimeoutError, OSError) as error:
                _LOG.debug("the char-server: %r", error)
            await asyncio.sleep(RETRY_S[1] if self.refused else wait_s)
            wait_s = min(RETRY_S[1], wait_s * 2)

    async def _live(self, keepalive: bytes) -> None:
        loop = asyncio.get_running_loop()
        while not self._ended.is_set():
            try:
                async with asyncio.timeout(KEEPALIVE_S):
                    await self._ended.wait()
            except TimeoutError:
                if loop.time() - self._heard_s > 2 * KEEPALIVE_S and self._transport is not None:
                    _LOG.warning("the char-server says nothing; connecting anew")
                    self._transport.abort()
                else:
                    self.send(keepalive)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=CHAR_HIGH_BYTES, low=CHAR_LOW_BYTES)
        self._heard_s = asyncio.get_running_loop().time()
        _LOG.info("connected to the char-server")
        self._on_up()

    def data_received(self, data: bytes) -> None:
        self._heard_s = asyncio.get_running_loop().time()
        try:
            packets = self._splitter.feed(data)
        except BadStream as error:
            _LOG.error("the char-server says what no stock one says: %s", error)
            if self._transport is not None:
                self._transport.abort()
            return
        self._on_packets(packets)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._pause(False)
        _LOG.warning("the connection to the char-server ended")
        self._on_down()
        self._ended.set()

    def pause_writing(self) -> None:
        self._pause(True)

    def resume_writing(self) -> None:
        self._pause(False)

    @property
    def up(self) -> bool:
        return self._transport is not None

    def send(self, packet: bytes) -> bool:
        """False: not connected; the packet is not sent."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(packet)
        return True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def listen(
    protocol: Callable[[], asyncio.Protocol], address: str, context: ssl.SSLContext | None = None
) -> asyncio.Server:
    """address: host:port.

    Raises:
        OSError: the address is taken or none of this machine's.
    """
    host, port = split(address)
    timeout_s = HANDSHAKE_TIMEOUT_S if context else None
    loop = asyncio.get_running_loop()
    return await loop.create_server(protocol, host, port, ssl=context, ssl_handshake_timeout=timeout_s)
