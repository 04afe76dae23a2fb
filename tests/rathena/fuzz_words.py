"""Bytes for fuzzing: recorded streams, mutated by a seed. A mutation keeps most of a stream, so that it gets far."""

import random
from collections.abc import Iterator
from functools import cache

from libs.rathena.tables import Table
from tests.rathena import captured

BURST_MAX = 24


@cache
def recorded(direction: str) -> list[bytes]:
    """Every recorded packet of a direction, as it came."""
    return [packet.packet for name in captured.scenarios() for packet in captured.packets(name) if packet.dir == direction]


def mutated(chance: random.Random, direction: str, table: Table) -> bytes:
    """A piece of a recorded stream with something wrong in it, or bytes that never were one."""
    packets = recorded(direction)
    if chance.random() < 0.05:
        return chance.randbytes(chance.randint(1, 400))
    if chance.random() < 0.2:
        return made_up(chance, table)
    at = chance.randrange(len(packets))
    burst = [bytearray(packet) for packet in packets[at : at + chance.randint(1, BURST_MAX)]]
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        _spoil(chance, burst)
    return b"".join(burst)


def _spoil(chance: random.Random, burst: list[bytearray]) -> None:
    number = chance.randrange(len(burst))
    packet = burst[number]
    match chance.choice(("flip", "flip", "number", "cut", "double", "swap", "length", "id")):
        case "flip" if packet:
            packet[chance.randrange(len(packet))] ^= 1 << chance.randrange(8)
        case "number" if len(packet) > 6:
            at = chance.randrange(2, len(packet) - 3)
            packet[at : at + 4] = chance.choice((0, 1, 2**31, 2**32 - 1, 150_006, 2_000_006)).to_bytes(4, "little")
        case "cut":
            del packet[chance.randrange(len(packet) + 1) :]
        case "double":
            burst.insert(number, bytearray(packet))
        case "swap":
            chance.shuffle(burst)
        case "length" if len(packet) > 3:
            packet[2:4] = chance.choice((0, 3, 4, 5, 65_535, chance.randrange(65_536))).to_bytes(2, "little")
        case "id" if len(packet) > 1:
            packet[:2] = chance.choice(recorded("map>gw"))[:2]


def made_up(chance: random.Random, table: Table) -> bytes:
    """A packet of any id of the table, of the right length, with numbers that mean somebody in it."""
    kind = chance.choice(list(table.kinds.values()))
    length = kind.length if kind.length > 0 else chance.choice((4, 5, 8, 12, 30, 300))
    body = bytearray(chance.randbytes(length - 2) if chance.random() < 0.5 else bytes(length - 2))
    if kind.length <= 0:
        body[:2] = length.to_bytes(2, "little")
    for at, first in ((kind.account_at, 2_000_001), (kind.char_at, 150_001)):
        if at is not None and at + 2 <= length:
            body[at - 2 : at + 2] = (first + chance.randrange(6)).to_bytes(4, "little")
    return kind.packet_id.to_bytes(2, "little") + bytes(body[: length - 2])


def pieces(chance: random.Random, data: bytes) -> Iterator[bytes]:
    """The same bytes in chunks of any size."""
    at = 0
    while at < len(data):
        size = chance.choice((1, 2, 7, 100, 1_460, 65_536))
        yield data[at : at + size]
        at += size
