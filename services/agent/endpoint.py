"""Where one map-server of this machine finds its char-server: a port on loopback. In: its connection. Out: its bytes to the
link, and how many play there.

A map-server that connects while there is no link waits, and is heard when there is one: a stock one tries again after 10 s.
It reads as it likes: what it does not read costs its own channel's credit, and nobody else. Who is linked and who plays there
its own stream tells (maps/stream.py); what is no such stream, from either side, is cut.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol, cast

from libs.events import MapName
from libs.link.session import Place
from libs.rathena.framing import BadStream
from libs.rathena.packets import BadPacket
from services.agent.link_events import Gone, Heard, Linked, LinkEvent, Players
from services.agent.maps.stream import StreamWatch

LOOPBACK: Final = "127.0.0.1"
HIGH_BYTES: Final = 256 * 1024
"""What waits for the link of one map-server; then it is not read. A burst of saves is 100 KB."""
_LOG = logging.getLogger(__name__)


class Carrier(Protocol):
    """The link, to an endpoint."""

    def connected(self, endpoint: "Endpoint") -> None: ...

    def say(self, endpoint: "Endpoint", data: bytes) -> int:
        """Bytes of it that wait."""

    def took(self, endpoint: "Endpoint", count: int) -> None: ...

    def ended(self, endpoint: "Endpoint", reason: str) -> None: ...


class Endpoint:
    """place: as the bridge is told. channel: of the session that is, None without one."""

    def __init__(self, place: Place, carrier: Carrier, on_event: Callable[[LinkEvent], None]) -> None:
        self.map, self.place = MapName(place.map), place
        self.channel: int | None = None
        self.players = 0
        self._carrier, self._on_event = carrier, on_event
        self._server: asyncio.Server | None = None
        self._wire: _Wire | None = None
        self._watch: StreamWatch | None = None
        self._linked = False
        self._early = b""

    async def listen(self) -> int:
        """The port. Raises: OSError."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Wire(self), LOOPBACK, 0)
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def waits(self) -> bool:
        """A map-server is connected and has no channel."""
        return self._wire is not None and self.channel is None

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.drop("it is served here no more")

    # -- the link ---------------------------------------------------------------------------------------------------------

    def carried(self, channel: int) -> None:
        """Its stream begins."""
        self.channel = channel
        self._watch = StreamWatch()
        early, self._early = self._early, b""
        if self._wire is not None:
            self._wire.read(True)
            if early:
                self.heard(self._wire, early)

    def told(self, data: bytes) -> None:
        """By the bridge."""
        if self._wire is None or self._watch is None:
            return
        self._on_event(Heard(self.map, 0, len(data)))
        if self._sees(self._watch.down, data):
            self._wire.write(data)

    def drop(self, reason: str) -> None:
        """To the map-server its char-server has gone; it connects again by itself."""
        wire, self._wire, self._early = self._wire, None, b""
        if wire is not None:
            wire.close()
        self._over(reason)

    def sent_some(self, waiting: int) -> None:
        """So many bytes wait for the link still."""
        if self._wire is not None and waiting <= HIGH_BYTES // 2:
            self._wire.read(True)

    # -- the map-server ---------------------------------------------------------------------------------------------------

    def arrived(self, wire: "_Wire") -> bool:
        """False: it has one, which lives."""
        if self._wire is not None:
            return False
        self._wire = wire
        self._carrier.connected(self)
        return True

    def heard(self, wire: "_Wire", data: bytes) -> None:
        if self._wire is not wire:
            return
        if self.channel is None:  # uvloop does not heed at once that it is not to be read
            self._early += data
            wire.read(False)
            return
        self._on_event(Heard(self.map, len(data), 0))
        if self._watch is None or not self._sees(self._watch.up, data):
            return
        if self._carrier.say(self, data) > HIGH_BYTES:
            wire.read(False)

    def left(self, wire: "_Wire") -> None:
        if self._wire is wire:
            self._wire, self._early = None, b""
            self._carrier.ended(self, "the map-server ended")
            self._over("the map-server ended")

    def took(self, count: int) -> None:
        self._carrier.took(self, count)

    def _over(self, reason: str) -> None:
        if self.channel is not None:
            self.channel = None
            self._set_players(0)
            self._linked = False
            self._on_event(Gone(self.map, reason))

    def _sees(self, watch: Callable[[bytes], None], data: bytes) -> bool:
        """What this tells of it, said. False: it was cut."""
        try:
            watch(data)
        except (BadStream, BadPacket) as error:
            reason = f"no inter-server stream: {error}"
            _LOG.warning("%s: cut, what is said there is %s", self.map, reason)
            self._carrier.ended(self, reason)
            self.drop(reason)
            return False
        if self._watch is not None:
            if self._watch.linked and not self._linked:
                self._linked = True
                self._on_event(Linked(self.map))
            self._set_players(len(self._watch.accounts))
        return True

    def _set_players(self, count: int) -> None:
        if count != self.players:
            self.players = count
            self._on_event(Players(self.map, count))


class _Wire(asyncio.Protocol):
    """The map-server's connection. What it does not read is not given back as credit."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._transport: asyncio.Transport | None = None
        self._unread = 0
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.pause_reading()
        if not self._endpoint.arrived(self):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._endpoint.heard(self, data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._endpoint.left(self)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        unread, self._unread = self._unread, 0
        if unread:
            self._endpoint.took(unread)

    def write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._full:
            self._unread += len(data)
        else:
            self._endpoint.took(len(data))

    def read(self, go_on: bool) -> None:
        if self._transport is not None and not self._transport.is_closing():
            (self._transport.resume_reading if go_on else self._transport.pause_reading)()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
