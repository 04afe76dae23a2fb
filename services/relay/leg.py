"""What one server says to one client: bytes in, out come what passes and the words a relay has to know, in order. Pure.

A word that carries `packet` is not among what passes: the session decides. The others are.
"""

from typing import Final, NamedTuple

from libs.rathena.watch import Watch
from services.relay import wire
from services.relay.effects import ToClient
from services.relay.wire import Place

ENTRY_BYTES_MAX: Final = 65_536
"""What a server may say before 02eb: three short packets in truth."""


class Accepted(NamedTuple):
    """02eb. packet: the first time with what came before it, 0283 and 0b18. tick: the server's clock, ms. x, y: where it put
    the player."""

    packet: bytes
    tick: int
    x: int
    y: int


class Dismissed(NamedTuple):
    """0081, 006a, 0074: the client leaves on it."""

    packet: bytes
    packet_id: int
    code: int


class Moved(NamedTuple):
    """0091, passed on: another map of this server."""

    place: Place


class Sent(NamedTuple):
    """0ac7: to another server. Nothing of this one counts any more."""

    place: Place


class Stepped(NamedTuple):
    """0087, 0088 of the player himself."""

    x: int
    y: int


class Parting(NamedTuple):
    """00b3, 018b: the client will close, and is right to."""

    reason: str


class Broken(NamedTuple):
    """Nothing more can be read."""

    reason: str


Word = ToClient | Accepted | Dismissed | Moved | Sent | Stepped | Parting | Broken


class ServerLeg:
    """account: the player's account id, four bytes as in packets. Before 02eb nothing passes."""

    __slots__ = ("_account", "_entry", "_watch")

    def __init__(self, account: bytes) -> None:
        self._account = account
        self._watch = Watch(wire.FROM_SERVER)
        self._entry: bytes | None = b""

    def read(self, data: bytes) -> list[Word]:
        seen = self._watch.scan(data)
        if not seen.found and seen.broken is None and self._entry is None:
            return [ToClient(seen.whole)] if seen.end else []
        words: list[Word] = []
        data, sent = seen.data, 0
        for at in seen.found:
            word = self._word(data, at)
            if isinstance(word, Accepted | Dismissed | Sent | Broken):
                words += self._passed(data[sent:at])
                if isinstance(word, Accepted) and self._entry is not None:
                    word, self._entry = word._replace(packet=self._entry + word.packet), None
                words.append(word)
                if isinstance(word, Sent | Broken):
                    return words
                sent = at + wire.length_at(data, at)
            elif word is not None:
                words.append(word)
        words += self._passed(memoryview(data)[sent : seen.end])
        if seen.broken is not None:
            words.append(Broken(f"what the server says is no stream: {seen.broken}"))
        return words

    def _passed(self, data: bytes | memoryview) -> list[Word]:
        if self._entry is None:
            return [ToClient(data)] if data else []
        self._entry += data
        return [Broken("the server says too much before 02eb")] if len(self._entry) > ENTRY_BYTES_MAX else []

    def _word(self, data: bytes, at: int) -> Word | None:
        packet_id = wire.id_at(data, at)
        packet = data[at : at + wire.length_at(data, at)]
        if packet_id == wire.ACCEPT:
            return Accepted(packet, wire.u32_at(packet, 2), *wire.accepted_at(packet))
        if packet_id in wire.REFUSALS:
            return Dismissed(packet, packet_id, packet[2])
        if self._entry is not None:
            return None
        if packet_id == wire.WALK:
            return Stepped(*wire.walked_to(packet))
        if packet_id == wire.STAND:
            return Stepped(*wire.stands_at(packet)) if packet[2:6] == self._account else None
        if packet_id == wire.RESTART:
            return Parting("to the choice of characters") if packet[2] == 1 else None
        if packet_id == wire.QUIT:
            return Parting("quit") if wire.u16_at(packet, 2) == 0 else None
        place = wire.moved_to(packet)
        if place is None:
            return Broken("the server sends the client nowhere")
        return Moved(place) if packet_id == wire.MAP_MOVE else Sent(place)
