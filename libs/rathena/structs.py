"""Reads and changes the C structs inside packets by a build's layout. In: a struct's bytes and a path. Out: a value, or new
bytes.

A path is a field's name, `last_point.map`, `memo_point[1].x`. Values: numbers int, characters and opaque bytes `bytes` (whole,
padded), structs `dict`, arrays `list`. The layout itself: `libs.rathena.layout`.
"""

import re
from functools import lru_cache
from struct import Struct, error
from typing import Any, Final, NamedTuple

from libs.rathena.layout import CHARACTER, STORAGE, BadLayout, Field, Layout, StructLayout, is_number, shipped
from libs.rathena.values import padded

__all__ = [
    "CHARACTER",
    "STORAGE",
    "BadLayout",
    "BadStruct",
    "Field",
    "Layout",
    "Point",
    "StructLayout",
    "amounts",
    "as_dict",
    "integer",
    "integers",
    "items",
    "last_point",
    "patched",
    "raw",
    "read",
    "rows",
    "shipped",
    "zero_holes",
]

_ITEMS: Final = {1: "items_inventory", 2: "items_cart", 3: "items_storage", 4: "items_guild"}
_CODES: Final = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i8": "b", "i16": "h", "i32": "i", "i64": "q"}
_STEP: Final = re.compile(r"(\w+)(?:\[(\d{1,6})\])?")


class BadStruct(Exception):
    """The bytes have not the struct's size, the path leads nowhere, or a value does not fit."""


class Point(NamedTuple):
    """map: 16 bytes, padded. x, y: cells."""

    map: bytes
    x: int
    y: int


class _Place(NamedTuple):
    offset: int
    field: Field


def read(layout: Layout, struct_name: str, data: bytes, path: str) -> Any:
    """Raises: BadStruct."""
    _checked(layout, struct_name, data)
    place = _place(layout, struct_name, path)
    return _load(layout, data, place.offset, place.field)


def integer(layout: Layout, struct_name: str, data: bytes, path: str) -> int:
    """Raises: BadStruct, also where the field is no number."""
    value = read(layout, struct_name, data, path)
    if not isinstance(value, int):
        raise BadStruct(f"{struct_name}.{path} is no number")
    return value


def integers(layout: Layout, struct_name: str, data: bytes, paths: tuple[str, ...]) -> dict[str, int]:
    """Several plain numbers at once, for what is read of every save. Raises: BadStruct, also where a field is no number or of
    single bits."""
    _checked(layout, struct_name, data)
    reader, names = _picked(layout, struct_name, paths)
    return dict(zip(names, reader.unpack_from(data), strict=True))


def amounts(layout: Layout, storage: bytes, table: int) -> dict[int, int]:
    """How many of each item, by nameid; as `items` and a sum would say, a hundred times as fast. Raises: as `items`."""
    if table not in _ITEMS:
        raise BadStruct(f"no table {table}")
    _checked(layout, STORAGE, storage)
    start, field = _place(layout, STORAGE, f"u.{_ITEMS[table]}")
    size = layout.size(field.type)
    reader, names = _picked(layout, field.type, ("nameid", "amount"))
    end = start + min(field.count, (len(storage) - start) // size) * size
    found: dict[int, int] = {}
    for pair in reader.iter_unpack(memoryview(storage)[start:end]):
        nameid, amount = pair if names[0] == "nameid" else pair[::-1]
        if nameid:
            found[nameid] = found.get(nameid, 0) + amount
    return found


def raw(layout: Layout, struct_name: str, data: bytes, path: str) -> bytes:
    """The bytes of a field of any type as they are. Raises: BadStruct."""
    _checked(layout, struct_name, data)
    offset, field = _place(layout, struct_name, path)
    return data[offset : offset + layout.size(field.type) * max(field.count, 1)]


def as_dict(layout: Layout, struct_name: str, data: bytes) -> dict[str, Any]:
    """Everything in it; of a character that is a few thousand values. Raises: BadStruct."""
    _checked(layout, struct_name, data)
    return _dict(layout, data, 0, layout.structs[struct_name])


def rows(layout: Layout, struct_name: str, data: bytes) -> list[bytes]:
    """The structs of an array that fills `data`, as in 3061. Raises: BadStruct where a part of one is left over."""
    size = _struct(layout, struct_name).size
    if len(data) % size:
        raise BadStruct(f"{len(data)} bytes are no whole number of {struct_name} of {size}")
    return [data[at : at + size] for at in range(0, len(data), size)]


def patched(layout: Layout, struct_name: str, data: bytes, values: dict[str, int | bytes]) -> bytes:
    """A copy with these fields changed; every other byte stays. values: path -> number, or bytes, padded with zeros where
    shorter.

    Raises: BadStruct, also for a value that does not fit.
    """
    _checked(layout, struct_name, data)
    changed = bytearray(data)
    for path, value in values.items():
        offset, field = _place(layout, struct_name, path)
        try:
            _store(layout, changed, offset, field, value)
        except (error, OverflowError, TypeError) as wrong:
            raise BadStruct(f"{struct_name}.{path} = {value!r}: {wrong}") from None
    return bytes(changed)


def zero_holes(layout: Layout, struct_name: str, data: bytes) -> bytes:
    """The same with zeros between the fields, where the sender left whatever was in its memory: fit to be hashed or stored.
    What stands behind the end of a name, and pointers, stay. Raises: BadStruct."""
    _checked(layout, struct_name, data)
    kept = int.from_bytes(data, "little") & _mask(layout, struct_name)
    return kept.to_bytes(len(data), "little")


def items(layout: Layout, storage: bytes, table: int) -> dict[int, dict[str, Any]]:
    """The items of an s_storage: place in it -> fields of `item`. table: as in 308b. Raises: BadStruct, also for another
    table."""
    if table not in _ITEMS:
        raise BadStruct(f"no table {table}")
    _checked(layout, STORAGE, storage)
    start, field = _place(layout, STORAGE, f"u.{_ITEMS[table]}")
    item = _struct(layout, field.type)
    id_at = start + item.fields["nameid"].offset
    places = min(field.count, (len(storage) - start) // item.size)
    filled = _filled(storage, id_at, item.size, places)
    return {n: _dict(layout, storage, start + n * item.size, item) for n in filled}


def _filled(storage: bytes, id_at: int, size: int, places: int) -> list[int]:
    """Places whose item has an id, 4 bytes. Of hundreds nearly all are empty, and each player's are read when he enters: a byte
    of all ids at once is 20 times as fast as id by id."""
    seen = 0
    for at in range(id_at, id_at + 4):
        seen |= int.from_bytes(storage[at : at + (places - 1) * size + 1 : size], "little")
    return [n for n, byte in enumerate(seen.to_bytes(places, "little")) if byte] if seen else []


def last_point(layout: Layout, status: bytes) -> Point:
    """Where a character (mmo_charstatus) was last. Raises: BadStruct."""
    point = read(layout, CHARACTER, status, "last_point")
    return Point(point["map"], point["x"], point["y"])


def _struct(layout: Layout, struct_name: str) -> StructLayout:
    struct = layout.structs.get(struct_name)
    if struct is None:
        raise BadStruct(f"the layout {layout.name!r} has no {struct_name}")
    return struct


def _checked(layout: Layout, struct_name: str, data: bytes) -> None:
    if len(data) != (size := _struct(layout, struct_name).size):
        raise BadStruct(f"{len(data)} bytes are no {struct_name} of {size}")


@lru_cache(maxsize=4_096)
def _place(layout: Layout, struct_name: str, path: str) -> _Place:
    offset, type_name = 0, struct_name
    field = Field(0, struct_name)
    for step in path.split("."):
        named = _STEP.fullmatch(step)
        if named is None or type_name not in layout.structs or field.count:
            raise BadStruct(f"no {path!r} in {struct_name}")
        inner = layout.structs[type_name].fields.get(named[1])
        index = int(named[2] or 0)
        if inner is None or (named[2] and index >= inner.count):
            raise BadStruct(f"no {path!r} in {struct_name}")
        offset += inner.offset + index * layout.size(inner.type)
        field = Field(0, inner.type, 0 if named[2] else inner.count, inner.bits, inner.bit_offset)
        type_name = inner.type
    return _Place(offset, field)


@lru_cache(maxsize=256)
def _picked(layout: Layout, struct_name: str, paths: tuple[str, ...]) -> tuple[Struct, tuple[str, ...]]:
    """One reader for these fields, over the whole struct, and their order in it."""
    places = sorted((_place(layout, struct_name, path), path) for path in paths)
    code, at = "<", 0
    for (offset, field), path in places:
        if field.bits or field.count or field.type not in _CODES or offset < at:
            raise BadStruct(f"{struct_name}.{path} is no plain number")
        code += f"{offset - at}x{_CODES[field.type]}"
        at = offset + layout.size(field.type)
    return Struct(f"{code}{layout.size(struct_name) - at}x"), tuple(path for _, path in places)


def _load(layout: Layout, data: bytes, offset: int, field: Field) -> Any:
    if field.bits:
        return _bits(data, offset, field)
    count, inner = max(field.count, 1), layout.structs.get(field.type)
    if inner is not None:
        loaded: list[Any] = [_dict(layout, data, offset + n * inner.size, inner) for n in range(count)]
    else:
        loaded = list(_plain(field.type, count).unpack_from(data, offset))
    return loaded if field.count else loaded[0]


def _dict(layout: Layout, data: bytes, offset: int, struct: StructLayout) -> dict[str, Any]:
    return {name: _load(layout, data, offset + field.offset, field) for name, field in struct.fields.items()}


def _bits(data: bytes | bytearray, offset: int, field: Field) -> int:
    size = (field.bit_offset + field.bits + 7) // 8
    return int.from_bytes(data[offset : offset + size], "little") >> field.bit_offset & ((1 << field.bits) - 1)


def _store(layout: Layout, data: bytearray, offset: int, field: Field, value: int | bytes) -> None:
    if isinstance(value, bytes):
        size = layout.size(field.type) * max(field.count, 1)
        data[offset : offset + size] = padded(value, size)
    elif field.bits:
        if not 0 <= value < 1 << field.bits:
            raise OverflowError(f"not within {field.bits} bits")
        size = (field.bit_offset + field.bits + 7) // 8
        others = int.from_bytes(data[offset : offset + size], "little") & ~(((1 << field.bits) - 1) << field.bit_offset)
        data[offset : offset + size] = (others | value << field.bit_offset).to_bytes(size, "little")
    elif field.count or not is_number(field.type):
        raise TypeError("no number")
    else:
        _plain(field.type, 1).pack_into(data, offset, value)


@lru_cache(maxsize=1_024)
def _plain(type_name: str, count: int) -> Struct:
    code = _CODES.get(type_name)
    return Struct(f"<{count}{code}") if code else Struct("<" + f"{int(type_name[1:])}s" * count)


@lru_cache(maxsize=512)
def _mask(layout: Layout, struct_name: str) -> int:
    """A one for each bit that belongs to a field, little endian over the whole struct."""
    mask = 0
    for field in layout.structs[struct_name].fields.values():
        size, count = layout.size(field.type), max(field.count, 1)
        if field.bits:
            mask |= ((1 << field.bits) - 1) << field.bit_offset << 8 * field.offset
        elif field.type in layout.structs:
            inner = _mask(layout, field.type).to_bytes(size, "little")
            mask |= int.from_bytes(inner * count, "little") << 8 * field.offset
        else:
            mask |= (1 << 8 * size * count) - 1 << 8 * field.offset
    return mask
