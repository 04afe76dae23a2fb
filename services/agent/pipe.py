"""A player's two connections on his host, joined: to the relay, over TLS, and to the map-server on loopback.

Who does not read stops whoever writes to him; at most HIGH_BYTES and a chunk wait in each direction. The player's end is passed
on alone, the map-server's ends both. One that stands has no second connection until a player comes. Called by dialing.py.
"""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar, cast

import msgspec

from libs.link.dialled import Chunks
from libs.link.dials import DIAL_ANSWERS, USE_ASKS, DialOpen, DialRefused, DialTaken
from libs.link.frames import BadFrame, first, frame
from libs.link.keys import shown_by
from libs.link.messages import GREETING_BYTES_MAX, Message

HIGH_BYTES: Final = 128 * 1024
HALF_OPEN_S: Final = 5.0
"""From the player's end to the map-server's, which saves him between: milliseconds, unless it hangs."""
IDLE_S: Final = 300.0
"""Not a byte of either: a player's client speaks every few seconds, and a map-server drops one that is silent for 60 s."""
LOOK_S: Final = 1.0
EARLY_BYTES_MAX: Final = 64 * 1024
"""Of a player whose map-server is not reached yet: he says one packet and waits."""
_FULL, _PACED, _EARLY = 1, 2, 4
"""Why an end is not read: the other is full; the line is; the relay, or the map-server, has not answered yet."""
M = TypeVar("M", bound=Message)


class NotDialled(Exception):
    """Why a player does not come here, in words for his relay's log."""


class Pipe:
    """on_took(up, down): bytes that went by; for how long who said them is not to be read, s. ended: both connections are over.
    joined: the relay has taken it. on_use(map): it stands, and now a player comes by it, who waits for `take` or `refuse`;
    None: it is a player's from the beginning."""

    def __init__(self, on_took: Callable[[int, int], float], on_use: Callable[[str], None] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self.on_took, self.on_use = on_took, on_use
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.joined = False
        self.heard_s = self._loop.time()
        self.relay, self.door = RelayEnd(self), DoorEnd(self)
        self._half_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        if on_use is None:
            self._look()

    async def greet(self, certificate: bytes, hello: DialOpen) -> None:
        """certificate: SHA-256 of the one the relay has to show.

        Raises:
            NotDialled: it does not, or it does not take us.
        """
        relay = self.relay
        assert relay.transport is not None
        if shown_by(relay.transport) != certificate:
            raise NotDialled("who answers is not the relay that asked: its certificate is another")
        relay.transport.write(frame(hello))
        await relay.answer
        self.joined = True
        if self.on_use is None:
            self.door.let_read(_EARLY, allowed=True)

    def take(self) -> None:
        """The player who uses it has his map-server; if his relay has not left meanwhile."""
        if self.ended.done():
            return
        self.heard_s = self._loop.time()
        self._look()
        self.relay.write(frame(DialTaken()))
        self.relay.go_on()
        self.door.let_read(_EARLY, allowed=True)

    def refuse(self, why: str) -> None:
        """He does not come; the connection ends with this word."""
        self.relay.write(frame(DialRefused(why=why[:256])))
        self.relay.hear_no_more()
        self.relay.close()
        self.door.abort(why)

    def abort(self, why: str) -> None:
        self.relay.abort(why)
        self.door.abort(why)
        self._end()

    def half_open(self) -> None:
        """One of the two said that it says no more."""
        if self._half_s is None:
            self._half_s = self._loop.time()

    def lost(self) -> None:
        """An end is over; what was written to the other is sent still."""
        self.half_open()
        for end in (self.relay, self.door):
            end.close()
        self._end()

    def _end(self) -> None:
        if self.relay.is_over and self.door.is_over and not self.ended.done():
            if self._timer is not None:
                self._timer.cancel()
            self.ended.set_result(None)

    def _look(self) -> None:
        now_s = self._loop.time()
        self._timer = self._loop.call_later(LOOK_S, self._look)
        if self._half_s is not None and now_s - self._half_s > HALF_OPEN_S:
            self.abort("the other end does not end")
        elif now_s - self.heard_s > IDLE_S:
            self.abort("nothing is said")


class End(asyncio.Protocol):
    """One of the two connections. is_over: it ended, or never was and is not wanted any more."""

    def __init__(self, pipe: Pipe, held: int = 0) -> None:
        self.pipe = pipe
        self.transport: asyncio.Transport | None = None
        self.is_over = False
        self._held = held
        self._loop = asyncio.get_running_loop()

    @property
    def other(self) -> "End":
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_BYTES)
        if self.is_over:  # meanwhile nobody wants it
            self.is_over = False
            self.transport.abort()
        elif self._held:
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it ended
        self.is_over = True
        self.pipe.lost()

    def pause_writing(self) -> None:
        self.other.let_read(_FULL, allowed=False)

    def resume_writing(self) -> None:
        self.other.let_read(_FULL, allowed=True)

    def let_read(self, why: int, *, allowed: bool) -> None:
        before, self._held = self._held, self._held & ~why if allowed else self._held | why
        transport = self.transport
        if bool(before) != bool(self._held) and transport is not None and not transport.is_closing():
            (transport.pause_reading if self._held else transport.resume_reading)()

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def close(self) -> None:
        """When all that was written is sent."""
        if self.transport is None:
            self.is_over = True
        elif not self.transport.is_closing():
            self.transport.close()

    def abort(self, why: str) -> None:  # noqa: ARG002 - for who overrides it
        if self.transport is None:
            self.is_over = True
        else:
            self.transport.abort()

    def took(self, up: int, down: int) -> None:
        self.pipe.heard_s = self._loop.time()
        if (wait_s := self.pipe.on_took(up, down)) > 0:
            self.let_read(_PACED, allowed=False)
            self._loop.call_later(wait_s, self._paced)

    def _paced(self) -> None:
        self.let_read(_PACED, allowed=True)


class RelayEnd(End):
    """answer: to our greeting. _read: what is made of the next bytes; _begun: those of which nothing was made yet."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__(pipe)
        self.answer: asyncio.Future[None] = self._loop.create_future()
        self._begun = b""
        self._read: Callable[[bytes], None] = self._greeted
        self._chunks = Chunks()

    @property
    def other(self) -> End:
        return self.pipe.door

    def data_received(self, data: bytes) -> None:
        self._read(data)

    def go_on(self) -> None:
        """His map-server is reached."""
        self._read = self._played
        self.let_read(_EARLY, allowed=True)
        said, self._begun = self._begun, b""
        if said:
            self._played(said)

    def hear_no_more(self) -> None:
        """Its end is read still."""
        self._read = lambda _: None
        self.let_read(_EARLY, allowed=True)

    def _played(self, data: bytes) -> None:
        if said := self._chunks.feed(data):
            self.other.write(said)
            self.took(0, len(said))
        if self._chunks.over:
            self._over()

    def _greeted(self, data: bytes) -> None:
        found = self._first(DIAL_ANSWERS, data)
        if found is None:
            return
        if isinstance(found, DialRefused):
            self.abort(f"the relay: {found.why}")
            return
        self._read = self._played if self.pipe.on_use is None else self._asked
        if not self.answer.done():
            self.answer.set_result(None)
        if self._begun:
            rest, self._begun = self._begun, b""
            self._read(rest)

    def _asked(self, data: bytes) -> None:
        found = self._first(USE_ASKS, data)
        if found is not None:
            assert self.pipe.on_use is not None
            self._read = self._early
            self.let_read(_EARLY, allowed=False)
            self.pipe.on_use(found.map)

    def _early(self, data: bytes) -> None:
        """It is not heeded at once everywhere that nothing is to be read."""
        self._begun += data
        if len(self._begun) > EARLY_BYTES_MAX:
            self.abort("it says too much before it is answered")

    def _first(self, says: "msgspec.msgpack.Decoder[M]", data: bytes) -> M | None:
        """The frame that is awaited, once it is whole; what follows it is in _begun."""
        try:
            found = first(says, self._begun + data, GREETING_BYTES_MAX)
        except BadFrame as error:
            self.abort(f"it does not speak our language: {error}")
            return None
        self._begun = found[1] if found is not None else self._begun + data
        return found[0] if found is not None else None

    def _over(self) -> None:
        """The player is gone; his map-server has the last word."""
        door = self.pipe.door.transport
        self.pipe.half_open()
        if door is not None and not door.is_closing():
            door.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("it left")
        super().connection_lost(exc)

    def abort(self, why: str) -> None:
        self._fail(why)
        super().abort(why)

    def _fail(self, why: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(NotDialled(why))
            self.answer.exception()  # nobody may be waiting any more


class DoorEnd(End):
    """The map-server's. It is not heard before the relay has taken its player."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__(pipe, _EARLY)

    @property
    def other(self) -> End:
        return self.pipe.relay

    def data_received(self, data: bytes) -> None:
        self.other.write(data)
        self.took(len(data), 0)
