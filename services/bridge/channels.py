"""One map-server of a host, as a channel of its agent's link (session.py). To the rest of the bridge it is as any other."""

from collections import deque
from typing import Protocol

from services.bridge.links import BUFFER_BYTES_MAX, Links, MapServer


class Carrier(Protocol):
    """The session a channel is of."""

    def say(self, channel: int, data: bytes) -> None: ...

    def waiting(self, channel: int) -> int: ...

    def took(self, channel: int, count: int) -> None: ...

    def end(self, channel: int, reason: str) -> None: ...


class HostChannel(MapServer):
    """channel: the session's number for it. Paused, it keeps what came, which its credit bounds."""

    def __init__(self, number: int, links: Links, carrier: Carrier, channel: int) -> None:
        super().__init__(number, links)
        self._carrier, self._channel = carrier, channel
        self._paused = self._ended = False
        self._kept: deque[bytes] = deque()

    def begin(self) -> None:
        """Its session says whose it is."""

    def said(self, data: bytes) -> None:
        if self._paused:
            self._kept.append(data)
        else:
            self.heard(data)
            self._carrier.took(self._channel, len(data))

    def ended(self) -> None:
        """Its map-server has ended. What it said before counts: its last saves."""
        self._ended = True
        if not self._kept:
            self.gone()

    def send(self, packet: bytes) -> None:
        if self._carrier.waiting(self._channel) > BUFFER_BYTES_MAX:
            self.end("it does not read")
        else:
            self._carrier.say(self._channel, packet)

    def close(self, reason: str) -> None:
        self._carrier.end(self._channel, reason)

    def pause(self, paused: bool) -> None:
        self._paused = paused
        while self._kept and not self._paused:
            self.said(self._kept.popleft())
        if self._ended and not self._kept:
            self.gone()
