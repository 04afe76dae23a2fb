"""A host's link without its sockets: channels of bytes, one a map-server, over connections that break and come back. Pure.

Both ends have one. In: what the application says on a channel, bytes of the connection. Out: `take`, what to write now;
`feed`, what came. Frames are compressed in one stream a direction, then counted and kept until acknowledged: after a break
`resume` says the rest again, and no byte is lost or doubled. Only the agent opens channels; either ends them.

Nobody waits for another: a channel sends what its receiver gave it credit for, in turns of one frame each. Bounded: what came
and was not `took` by its credit; what is unacknowledged by KEPT_BYTES_MAX; what waits to be sent by who says it (`waiting`).
"""

from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from libs.link.channel import CREDIT_DOWN, CREDIT_UP, Channel
from libs.link.messages import MapToken, Port
from libs.link.records import BadLink, Kind, Records, record
from libs.link.replay import Received, Sent
from libs.link.squeeze import Squeezer, Unsqueezer

KEPT_BYTES_MAX: Final = 1024 * 1024
"""Compressed and unacknowledged; then nothing more is sent until the peer says what it has."""
URGENT_MAX: Final = 4_096
"""Frames about channels that wait because the peer reads nothing; it may not go on talking then."""
CHANNELS_MAX: Final = 64
"""Map-servers of one host at once; slots_max is at most 256, machines that carry more than 64 do not exist."""
_HEAD: Final = Struct(">BI")
_CREDIT: Final = Struct(">I")
_COUNT: Final = Struct(">Q")
_FRAME_BYTES_MAX: Final = 32 * 1024


class _Op(IntEnum):
    OPEN = 0
    DATA = 1
    END = 2
    CREDIT = 3


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Which map-server a channel is of. address, port: where it takes players, IPv4; address empty: not directly."""

    map: MapToken
    address: Annotated[str, Meta(max_length=15)]
    port: Port


@dataclass(frozen=True, slots=True)
class Opened:
    channel: int
    place: Place


@dataclass(frozen=True, slots=True)
class Said:
    """Count it with `took` when it is dealt with."""

    channel: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    channel: int
    reason: str


@dataclass(frozen=True, slots=True)
class Left:
    """The peer ends the session, and means it."""

    reason: str


Event = Opened | Said | Ended | Left


class Session:
    """opens: this end opens channels: the agent's."""

    def __init__(self, *, opens: bool) -> None:
        self._opens = opens
        self._hears, self._says = (CREDIT_DOWN, CREDIT_UP) if opens else (CREDIT_UP, CREDIT_DOWN)
        self._channels: dict[int, Channel] = {}
        self._last = 0
        self._turns: deque[int] = deque()
        self._urgent: deque[bytes] = deque()
        self._again: deque[bytes] = deque()
        self._sent, self._received = Sent(), Received()
        self._squeezer, self._unsqueezer = Squeezer(), Unsqueezer(_FRAME_BYTES_MAX)
        self._records = Records()

    # -- what is said on channels -----------------------------------------------------------------------------------------

    @property
    def channels(self) -> int:
        return len(self._channels)

    @property
    def is_settled(self) -> bool:
        """No channel is open, and the peer has acknowledged all that was said."""
        return not self._channels and not self._urgent and not self._sent.kept_bytes

    def open(self, place: Place) -> int:
        """A new channel's number."""
        assert self._opens
        assert len(self._channels) < CHANNELS_MAX, "more channels than a host has maps"
        self._last += 1
        self._channels[self._last] = Channel(self._says, self._hears)
        self._urgent.append(_HEAD.pack(_Op.OPEN, self._last) + msgspec.msgpack.encode(place))
        return self._last

    def say(self, channel: int, data: bytes) -> None:
        """On a channel that has ended: to nobody."""
        if data and (known := self._channels.get(channel)) is not None and known.ending is None:
            if not known.queue:
                self._turns.append(channel)
            known.queue.append(data)
            known.waiting += len(data)

    def waiting(self, channel: int) -> int:
        """Bytes said and not sent: who says more has to bound it."""
        known = self._channels.get(channel)
        return known.waiting if known is not None else 0

    def took(self, channel: int, count: int) -> None:
        """So many bytes of `Said` are dealt with; the peer may say as many more."""
        if (known := self._channels.get(channel)) is None:
            return
        known.took += count
        if known.took * 2 >= self._hears:
            known.may_hear += known.took
            self._urgent.append(_HEAD.pack(_Op.CREDIT, channel) + _CREDIT.pack(known.took))
            known.took = 0

    def end(self, channel: int, reason: str, *, at_once: bool = False) -> None:
        """Behind what was said on it; at_once: what still waits is dropped."""
        known = self._channels.get(channel)
        if known is None or known.ending is not None:
            return
        known.ending = reason
        if at_once or not known.queue:
            self._close(channel)

    def _close(self, channel: int) -> None:
        known = self._channels.pop(channel)
        assert known.ending is not None
        self._urgent.append(_HEAD.pack(_Op.END, channel) + known.ending.encode()[:256])

    # -- the connection ---------------------------------------------------------------------------------------------------

    @property
    def received(self) -> int:
        """Frames that came: what to tell the peer when a broken connection is resumed."""
        return self._received.told()

    def broke(self) -> None:
        """What was half read comes again, whole."""
        self._records = Records()

    def resume(self, received: int) -> None:
        """A new connection; the peer has so many frames, the others are taken again. Raises: BadLink."""
        self._sent.acknowledged(received)
        self._again = deque(self._sent.again())

    def take(self, most: int) -> bytes:
        """What to write now, about `most` bytes at the most; empty: nothing, or nothing may.

        Raises:
            BadLink: the peer acknowledges nothing.
        """
        out: list[bytes] = []
        size = 0
        if self._received.is_due:
            out.append(self._ack())
        while size < most and (frame := self._next()) is not None:
            out.append(record(Kind.FRAME, frame))
            size += len(frame)
        return b"".join(out)

    def beat(self) -> bytes:
        """Said now and then, that the peer knows we live and what came."""
        return self._ack() if self._received.untold else record(Kind.ALIVE)

    def _ack(self) -> bytes:
        return record(Kind.ACK, _COUNT.pack(self._received.told()))

    def _next(self) -> bytes | None:
        """The next frame as it goes over the connection."""
        if self._again:
            return self._again.popleft()
        if self._urgent:
            frame = self._urgent.popleft()
        elif self._sent.kept_bytes >= KEPT_BYTES_MAX or (said := self._turn()) is None:
            return None
        else:
            frame = said
        squeezed = self._squeezer.squeeze(frame)
        self._sent.add(squeezed)
        return squeezed

    def _turn(self) -> bytes | None:
        """A frame of the next channel that may say something. One without credit leaves the line until it gets some."""
        while self._turns:
            number = self._turns.popleft()
            known = self._channels.get(number)
            if known is None or not known.queue or not known.may_say:
                continue
            chunk = known.next()
            if known.queue:
                self._turns.append(number)
            elif known.ending is not None:
                self._close(number)
            return _HEAD.pack(_Op.DATA, number) + chunk
        return None

    def feed(self, data: bytes) -> list[Event]:
        """Raises: BadLink: the session is over."""
        found: list[Event] = []
        for kind, body in self._records.feed(data):
            if kind is Kind.FRAME:
                self._received.add(body)
                self._on_frame(self._unsqueezer.unsqueeze(body), found)
            elif kind is Kind.ACK:
                if len(body) != _COUNT.size:
                    raise BadLink("an acknowledgement of another size")
                self._sent.acknowledged(_COUNT.unpack(body)[0])
            elif kind is Kind.BYE:
                found.append(Left(body[:256].decode("utf-8", "replace")))
        if len(self._urgent) > URGENT_MAX:
            raise BadLink("it talks and does not read")
        return found

    def _on_frame(self, frame: bytes, found: list[Event]) -> None:
        if len(frame) < _HEAD.size:
            raise BadLink("a frame without its head")
        op, number = _HEAD.unpack_from(frame)
        body = frame[_HEAD.size :]
        if op == _Op.OPEN:
            found.append(self._on_open(number, body))
            return
        if not 0 < number <= self._last:
            raise BadLink(f"of channel {number}, which was never opened")
        if (known := self._channels.get(number)) is None:
            return  # it has ended here; the peer did not know
        if op == _Op.DATA:
            known.may_hear -= len(body)
            if known.may_hear < 0:
                raise BadLink("more than it has credit for")
            found.append(Said(number, body))
        elif op == _Op.CREDIT and len(body) == _CREDIT.size:
            self._on_credit(number, known, _CREDIT.unpack(body)[0])
        elif op == _Op.END:
            del self._channels[number]
            found.append(Ended(number, body[:256].decode("utf-8", "replace")))
        else:
            raise BadLink(f"a frame that does {op}")

    def _on_open(self, number: int, body: bytes) -> Opened:
        if self._opens or number != self._last + 1 or len(self._channels) >= CHANNELS_MAX:
            raise BadLink(f"channel {number} cannot be opened")
        try:
            place = msgspec.msgpack.decode(body, type=Place)
        except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
            raise BadLink(f"a channel of what: {error}") from None
        self._last = number
        self._channels[number] = Channel(self._says, self._hears)
        return Opened(number, place)

    def _on_credit(self, number: int, known: Channel, count: int) -> None:
        known.may_say += count
        if known.may_say > self._says:
            raise BadLink("credit for what was never said")
        if known.queue and number not in self._turns:
            self._turns.append(number)


def bye(reason: str) -> bytes:
    return record(Kind.BYE, reason.encode()[:256])
