"""The small values inside packets: padded names, addresses, cells packed into bits, lists of map names."""

from collections.abc import Iterable
from typing import NamedTuple

NAME_BYTES = 24
MAP_NAME_BYTES = 16
_GAT = b".gat"


class Cell(NamedTuple):
    """Where somebody stands. x, y: 0..1023; dir: 0..7 (0 north, counter-clockwise), 0..15 fit."""

    x: int
    y: int
    dir: int = 0


class Step(NamedTuple):
    """From where to where somebody walks. sx, sy: offset within the cell, 0..15 (8 = middle)."""

    x0: int
    y0: int
    x1: int
    y1: int
    sx: int = 8
    sy: int = 8


def cut(raw: bytes) -> bytes:
    """A padded name without its padding. What follows the first zero may be anything."""
    return raw.partition(b"\0")[0]


def text(raw: bytes) -> str:
    """For people: players' names may be any bytes, in the encoding of their client; what is no UTF-8 is shown escaped."""
    return cut(raw).decode("utf-8", "backslashreplace")


def map_name(raw: bytes) -> str:
    """`prt_fild08`; game clients are told `prt_fild08.gat`."""
    return text(cut(raw).removesuffix(_GAT))


def gat(name: str) -> bytes:
    """A map's name as game clients are told it."""
    return name.encode() + _GAT


def ip_text(raw: bytes) -> str:
    return ".".join(map(str, raw))


def ip_bytes(dotted: str) -> bytes:
    """Four bytes in network order. Raises: ValueError for what is no dotted IPv4 address."""
    raw = bytes(int(part) for part in dotted.split("."))
    if len(raw) != 4:
        raise ValueError(f"{dotted!r} is no IPv4 address")
    return raw


def pack_cell(cell: Cell) -> bytes:
    """pos3: x 10 bits, y 10 bits, dir 4 bits. Raises: OverflowError beyond them."""
    x, y, dir_ = _within(cell, (10, 10, 4))
    return (x << 14 | y << 4 | dir_).to_bytes(3, "big")


def unpack_cell(raw: bytes) -> Cell:
    bits = int.from_bytes(raw, "big")
    return Cell(bits >> 14, bits >> 4 & 0x3FF, bits & 0xF)


def pack_step(step: Step) -> bytes:
    """move6: x0, y0, x1, y1 10 bits each, sx, sy 4 bits each. Raises: OverflowError beyond them."""
    x0, y0, x1, y1, sx, sy = _within(step, (10, 10, 10, 10, 4, 4))
    return (x0 << 38 | y0 << 28 | x1 << 18 | y1 << 8 | sx << 4 | sy).to_bytes(6, "big")


def unpack_step(raw: bytes) -> Step:
    bits = int.from_bytes(raw, "big")
    return Step(bits >> 38, bits >> 28 & 0x3FF, bits >> 18 & 0x3FF, bits >> 8 & 0x3FF, bits >> 4 & 0xF, bits & 0xF)


def split_names(raw: bytes, size: int = MAP_NAME_BYTES) -> list[bytes]:
    """Names padded to size bytes each, one after another; an incomplete last one is left out."""
    return [cut(raw[at : at + size]) for at in range(0, len(raw) - size + 1, size)]


def join_names(names: Iterable[bytes], size: int = MAP_NAME_BYTES) -> bytes:
    """Raises: OverflowError for a name that does not fit."""
    return b"".join(padded(name, size) for name in names)


def padded(raw: bytes, size: int) -> bytes:
    """Raises: OverflowError for more than size bytes."""
    if len(raw) > size:
        raise OverflowError(f"{len(raw)} bytes do not fit into {size}")
    return raw.ljust(size, b"\0")


def _within(values: tuple[int, ...], bits: tuple[int, ...]) -> tuple[int, ...]:
    for value, width in zip(values, bits, strict=True):
        if not 0 <= value < 1 << width:
            raise OverflowError(f"{value} does not fit into {width} bits")
    return values
