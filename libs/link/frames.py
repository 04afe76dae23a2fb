"""Frames of a byte stream: u32 length, big endian, then a MessagePack body. An empty frame says only: I live. Pure.

In: bytes in any chunks. Out: messages, or `BadFrame`: the peer is not what it should be, cut it.
"""

from struct import Struct
from typing import Generic, TypeVar

import msgspec

from libs.link.messages import FRAME_BYTES_MAX, Message

_LENGTH = Struct(">I")
ALIVE = _LENGTH.pack(0)
"""The empty frame, sent by both ends so that a dead peer is found (libs/link/peer.py)."""
_ENCODER = msgspec.msgpack.Encoder()
M = TypeVar("M", bound=Message)


class BadFrame(Exception):
    """Not a frame of ours; the connection cannot go on."""


def frame(message: Message) -> bytes:
    body = _ENCODER.encode(message)
    return _LENGTH.pack(len(body)) + body


class Frames(Generic[M]):
    """Reads one direction. says: the union of the messages the peer may say. Holds at most one frame of limit_bytes."""

    def __init__(self, says: object, *, limit_bytes: int = FRAME_BYTES_MAX) -> None:
        self._decoder: msgspec.msgpack.Decoder[M] = msgspec.msgpack.Decoder(says)
        self._limit = limit_bytes
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[M]:
        """The messages that are whole now.

        Raises:
            BadFrame: too long, or no message that the peer may say.
        """
        rest = self._rest
        rest += data
        found: list[M] = []
        at = 0
        while len(rest) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(rest, at)
            if length > self._limit:
                raise BadFrame(f"a frame of {length} bytes; allowed are {self._limit}")
            start, end = at + _LENGTH.size, at + _LENGTH.size + length
            if len(rest) < end:
                break
            at = end
            if not length:
                continue
            try:
                found.append(self._decoder.decode(memoryview(rest)[start:end].tobytes()))
            except (msgspec.DecodeError, msgspec.ValidationError, ValueError, RecursionError) as error:
                raise BadFrame(str(error)) from None
        del rest[:at]
        return found


def first(says: "msgspec.msgpack.Decoder[M]", data: bytes, limit_bytes: int) -> tuple[M, bytes] | None:
    """The message a stream begins with, and what follows it, which is none of ours; None: not whole yet. says: reads what it
    may be.

    Raises:
        BadFrame: too long, or no such message.
    """
    if len(data) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack_from(data)
    if length > limit_bytes:
        raise BadFrame(f"a frame of {length} bytes; allowed are {limit_bytes}")
    end = _LENGTH.size + length
    if len(data) < end:
        return None
    try:
        return says.decode(data[_LENGTH.size : end]), data[end:]
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise BadFrame(str(error)) from None
