"""What a twin's core wants done, and how packets are said without a type. The cores do no I/O; `shell.py` performs these."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from libs.rathena.packets import Packet

CHAR: Final = 0
"""A map-server's link to the char-server, and a client's only connection."""


class Send(NamedTuple):
    """to: the connection's number."""

    to: int
    data: bytes


class Cut(NamedTuple):
    """Close the connection when everything said on it is out."""

    to: int


class Dial(NamedTuple):
    """Open connection `to` to ip:port; afterwards the core hears `connected` or `closed`."""

    to: int
    ip: str
    port: int


class Exit(NamedTuple):
    """The process ends. code: 0 as asked."""

    code: int
    why: str


Effect = Send | Cut | Dial | Exit
Note = Callable[[str, dict[str, Any]], None]
"""Tells an event (a word and its values) to whoever keeps a log."""


def quiet(event: str, values: dict[str, Any]) -> None:
    """No log."""


class Outbox:
    """Collects effects between two takes."""

    def __init__(self) -> None:
        self._effects: list[Effect] = []

    def send(self, to: int, packet: Packet | bytes) -> None:
        self._effects.append(Send(to, packet if isinstance(packet, bytes) else packet.pack()))

    def add(self, effect: Effect) -> None:
        self._effects.append(effect)

    def take(self) -> list[Effect]:
        taken, self._effects = self._effects, []
        return taken


def sized(packet_id: int, body: bytes = b"") -> bytes:
    """A packet that carries its own length."""
    return packet_id.to_bytes(2, "little") + (len(body) + 4).to_bytes(2, "little") + body


def fixed(packet_id: int, body: bytes = b"") -> bytes:
    """A packet of fixed length."""
    return packet_id.to_bytes(2, "little") + body


def id_of(packet: bytes) -> int:
    return packet[0] | packet[1] << 8


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")
