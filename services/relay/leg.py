"""What one server says to one client: bytes in, out come what passes and the words a relay has to know, in order. Pure.

A word that carries `packet` is not among what passes: the session decides. The others are. Where the player is goes straight
into `Player`: his steps are one packet in five.
"""

from typing import Final

import msgspec

from libs.rathena.watch import Watch
from services.relay import wire
from services.relay.effects import ToClient
from services.relay.player import Player
from services.relay.wire import Place

ENTRY_BYTES_MAX: Final = 65_536
"""What a server may say before 02eb: three short packets in truth."""


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """02eb. packet: the first time with what came before it, 0283 and 0b18. tick: the server's clock, ms.
    place: where it put the player; the second time None."""

    packet: bytes
    tick: int
    place: Place | None = None


class Dismissed(msgspec.Struct, frozen=True, gc=False):
    """0081, 006a, 0074: the client leaves on it."""

    packet: bytes
    packet_id: int
    code: int


class Moved(msgspec.Struct, frozen=True):
    """0091, passed on: the player is on another map of this server."""


class Sent(msgspec.Struct, frozen=True):
    """0ac7: he is sent to another server. Nothing of this one counts any more."""


class Parting(msgspec.Struct, frozen=True, gc=False):
    """00b3, 018b: the client will close, and is right to."""

    reason: str


class Broken(msgspec.Struct, frozen=True, gc=False):
    """Nothing more can be read."""

    reason: str


_SINGLED_OUT: Final = (Accepted, Dismissed, Sent, Broken)
"""Not among what passes."""
_LAST: Final = (Sent, Broken)
Word = ToClient | Accepted | Dismissed | Moved | Sent | Parting | Broken


class ServerLeg:
    """account: the player's account id, four bytes as in packets. Before 02eb nothing passes."""

    __slots__ = ("_account", "_entry", "_player", "_watch")

    def __init__(self, player: Player, account: bytes) -> None:
        self._player, self._account = player, account
        self._watch = Watch(wire.FROM_SERVER)
        self._entry: bytes | None = b""

    def read(self, data: bytes) -> list[Word]:
        seen = self._watch.scan(data)
        found, data = seen.found, seen.data
        if not found and seen.broken is None and self._entry is None:
            return [ToClient(seen.whole)] if seen.end else []
        words: list[Word] = []
        sent, step = 0, -1
        for at in found:
            packet_id = data[at] | data[at + 1] << 8
            if packet_id in wire.STEPS:
                if packet_id == wire.WALK or data[at + 2 : at + 6] == self._account:
                    step = at
                continue
            self._step(data, step)
            step = -1
            word = self._word(data, at, packet_id)
            if word is None:
                continue
            if isinstance(word, _SINGLED_OUT):
                words += self._passed(data[sent:at])
                if isinstance(word, Accepted) and self._entry is not None:
                    word = self._welcome(word, self._entry)
                sent = at + wire.length_at(data, at)
            words.append(word)
            if isinstance(word, _LAST):
                return words
        self._step(data, step)
        words += self._passed(seen.whole if not sent else memoryview(data)[sent : seen.end])
        if seen.broken is not None:
            words.append(Broken(f"what the server says is no stream: {seen.broken}"))
        return words

    def _step(self, data: bytes, at: int) -> None:
        """The last one counts: 0087 is about the player himself, 0088 was."""
        if at >= 0 and self._entry is None:
            self._player.step = data[at : at + wire.STEP_BYTES_MAX]

    def _welcome(self, word: Accepted, before: bytes) -> Accepted:
        self._player.welcomed_at(*wire.accepted_at(word.packet))
        self._entry = None
        return Accepted(before + word.packet, word.tick, self._player.place)

    def _passed(self, data: bytes | memoryview) -> list[Word]:
        if self._entry is None:
            return [ToClient(data)] if data else []
        self._entry += data
        return [Broken("the server says too much before 02eb")] if len(self._entry) > ENTRY_BYTES_MAX else []

    def _word(self, data: bytes, at: int, packet_id: int) -> Word | None:
        packet = data[at : at + wire.length_at(data, at)]
        if packet_id == wire.ACCEPT:
            return Accepted(packet, wire.u32_at(packet, 2))
        if packet_id in wire.REFUSALS:
            return Dismissed(packet, packet_id, packet[2])
        if self._entry is not None:
            return None
        if packet_id == wire.RESTART:
            return Parting("to the choice of characters") if packet[2] == 1 else None
        if packet_id == wire.QUIT:
            return Parting("quit") if wire.u16_at(packet, 2) == 0 else None
        place = wire.moved_to(packet)
        if place is None:
            return Broken("the server sends the client nowhere")
        self._player.place = place
        return Moved() if packet_id == wire.MAP_MOVE else Sent()
