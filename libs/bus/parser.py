"""Reads what a NATS server says. In: bytes as they come from the socket. Out: calls of `Speaker`, in order.

nats-py's own tries seven regular expressions at each message, ends the connection at a subject with a vertical tab, and
dies at one that is no UTF-8; whoever may publish could so keep a follower from ever passing that message.
Source: the client protocol, docs.nats.io/reference/reference-protocols/nats-protocol.
"""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from nats.errors import ProtocolError

from libs.bus.guard import guarded

CONTROL_LINE_MAX = 64 * 1024
"""An INFO with the addresses of a large cluster has a few KiB."""


class Speaker(Protocol):
    """What the parser calls."""

    def deliver(self, sid: int, subject: bytes, reply: bytes, headers: bytes, body: bytes) -> None: ...
    async def _process_ping(self) -> None: ...
    async def _process_pong(self) -> None: ...
    async def _process_err(self, err_msg: str) -> None: ...
    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None: ...


class Parser:
    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._rest = b""
        self._epoch = 0
        self._parsing = False
        self._afterwards: list[Callable[[], object]] = []

    def soon(self, callback: Callable[[], object]) -> bool:
        """To be called when all that has just come is handed on. False: nothing is being read."""
        if self._parsing:
            self._afterwards.append(callback)
        return self._parsing

    def reset(self) -> None:
        """A new connection: forget the rest of the old one."""
        self._rest = b""
        self._epoch += 1

    async def parse(self, data: bytes = b"") -> None:
        """
        Raises:
            ProtocolError: this is no NATS server, or bytes were lost.
        """
        self._parsing = True
        try:
            await self._parse(data)
        finally:
            self._parsing = False
            afterwards, self._afterwards = self._afterwards, []
            for callback in afterwards:
                guarded(callback)

    async def _parse(self, data: bytes) -> None:
        epoch = self._epoch
        buffer = self._rest + data if self._rest else data
        at = 0
        deliver = self._speaker.deliver
        try:
            while (end := buffer.find(b"\r\n", at)) >= 0:
                if buffer.startswith(b"HMSG ", at):
                    words = buffer[at + 5 : end].split(b" ")
                    if len(words) == 4:  # written out: this is every message, and a starred name costs as much as all the rest
                        (subject, sid, header_size, size), reply = words, b""
                    else:
                        subject, sid, reply, header_size, size = words
                    start = end + 2
                    head, end = start + int(header_size), start + int(size)
                    if len(buffer) < end + 2:
                        break
                    deliver(int(sid), subject, reply, buffer[start:head], buffer[head:end])
                elif buffer.startswith(b"MSG ", at):
                    words = buffer[at + 4 : end].split(b" ")
                    if len(words) == 3:
                        (subject, sid, size), reply = words, b""
                    else:
                        subject, sid, reply, size = words
                    start = end + 2
                    end = start + int(size)
                    if len(buffer) < end + 2:
                        break
                    deliver(int(sid), subject, reply, b"", buffer[start:end])
                else:
                    await self._control(buffer[at:end])
                if epoch != self._epoch:
                    return
                at = end + 2
        except (ValueError, msgspec.DecodeError):
            raise ProtocolError(f"nats: {buffer[at : at + 80]!r}") from None
        self._rest = buffer[at:]
        if len(self._rest) > CONTROL_LINE_MAX and b"\r\n" not in self._rest[:CONTROL_LINE_MAX]:
            raise ProtocolError("nats: a control line without end")

    async def _control(self, line: bytes) -> None:
        verb, _, rest = line.partition(b" ")
        match verb.upper():
            case b"PING":
                await self._speaker._process_ping()
            case b"PONG":
                await self._speaker._process_pong()
            case b"+OK":
                pass
            case b"-ERR":
                await self._speaker._process_err(rest.decode("utf-8", "replace").strip(" '"))
            case b"INFO":
                await self._speaker._process_info(msgspec.json.decode(rest))
            case _:
                raise ValueError(verb)
