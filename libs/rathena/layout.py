"""How a build of rAthena lays out the C structs it sends: data, versioned, and nothing else. Reading bytes by it: `structs.py`.

The structs go over the wire as they lie in memory, so every PACKETVER and every patched source has its own. `shipped` is that
of the recorded runs; `libs.rathena.elf` makes one from the map-server of any other build.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final

import msgspec

FORMAT: Final = 1
SIZE_BYTES_MAX: Final = 1 << 20
"""No struct is larger; the largest that travel have 46 KB."""
STRUCTS_MAX: Final = 256
DEPTH_MAX: Final = 6
"""A guild's castle holds guardians, a mail an item with options: 3 in use. Bounds the work on a layout made to hurt."""
CHARACTER: Final = "mmo_charstatus"
STORAGE: Final = "s_storage"
_NUMBER: Final = re.compile(r"[ui](8|16|32|64)")
_BYTES: Final = re.compile(r"[sb](\d{1,7})")


class BadLayout(Exception):
    """The data is no layout this Kafra reads. Give up; make it anew with `kafra rathena layout`."""


class Field(msgspec.Struct, frozen=True, array_like=True):
    """offset: bytes from the struct's start. type: u8..u64, i8..i64, sN N characters, bN N opaque bytes, or a struct of the
    layout. count: elements of an array, 0 for none. bits: width of a bit-field, 0 for none; bit_offset: its lowest bit, from
    offset."""

    offset: int
    type: str
    count: int = 0
    bits: int = 0
    bit_offset: int = 0


class StructLayout(msgspec.Struct, frozen=True):
    """size: bytes. fields: by name, in the order of the struct; those of a union share their offset."""

    size: int
    fields: dict[str, Field]


class Layout(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Equal to itself alone, so that what is computed from it can be cached. name: for people. commit, packetver: of
    the build where known. structs: by name; `outer.field` names an inline one."""

    format: int = FORMAT
    name: str
    commit: str | None = None
    packetver: int | None = None
    structs: dict[str, StructLayout]

    @classmethod
    def from_json(cls, data: bytes) -> "Layout":
        """Raises: BadLayout with what is wrong."""
        try:
            layout = msgspec.json.decode(data, type=cls)
        except (msgspec.MsgspecError, RecursionError) as wrong:
            raise BadLayout(f"no layout: {wrong}") from None
        if layout.format != FORMAT:
            raise BadLayout(f"format {layout.format}, this Kafra reads {FORMAT}")
        _check(layout.structs)
        return layout

    def to_json(self) -> bytes:
        """One struct a line, so that two builds can be compared with diff."""
        head = [f'"{key}": {_json(getattr(self, key))}' for key in ("format", "name", "commit", "packetver")]
        structs = ",\n  ".join(f"{_json(name)}: {_json(_short(struct))}" for name, struct in sorted(self.structs.items()))
        return f'{{\n {", ".join(head)},\n "structs": {{\n  {structs}\n }}\n}}\n'.encode()

    def size(self, type_name: str) -> int:
        """Bytes of one element. Raises: KeyError for a type that is not in the layout."""
        struct = self.structs.get(type_name)
        return struct.size if struct else size_of(type_name)


@cache
def shipped() -> Layout:
    """The layout of rAthena 754c50b59, PACKETVER 20211103 RE, x86-64."""
    return Layout.from_json((resources.files("libs.rathena") / "data" / "layout_754c50b59.json").read_bytes())


def size_of(type_name: str) -> int:
    """Bytes of a plain type. Raises: KeyError for another word."""
    if number := _NUMBER.fullmatch(type_name):
        return int(number[1]) // 8
    if raw := _BYTES.fullmatch(type_name):
        return int(raw[1])
    raise KeyError(type_name)


def is_number(type_name: str) -> bool:
    return _NUMBER.fullmatch(type_name) is not None


def _short(struct: StructLayout) -> dict[str, object]:
    """Without the zeros at the end of fields that are no arrays and no bit-fields."""
    rows = {name: list(msgspec.structs.astuple(field)) for name, field in struct.fields.items()}
    return {"size": struct.size, "fields": {name: row if row[3] else row[: 3 if row[2] else 2] for name, row in rows.items()}}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _check(structs: Mapping[str, StructLayout]) -> None:
    if len(structs) > STRUCTS_MAX:
        raise BadLayout(f"{len(structs)} structs, at most {STRUCTS_MAX}")
    for name, struct in structs.items():
        if not 0 < struct.size <= SIZE_BYTES_MAX:
            raise BadLayout(f"{name} has {struct.size} bytes")
        _check_depth(name, structs, DEPTH_MAX)
        for field_name, field in struct.fields.items():
            if wrong := _wrong(field, struct.size, structs):
                raise BadLayout(f"{name}.{field_name}: {wrong}")


def _check_depth(name: str, structs: Mapping[str, StructLayout], depth: int) -> None:
    if depth == 0:
        raise BadLayout(f"{name}: more than {DEPTH_MAX} structs in one another")
    for inner in {field.type for field in structs[name].fields.values()}:
        if inner in structs:
            _check_depth(inner, structs, depth - 1)


def _wrong(field: Field, struct_size: int, structs: Mapping[str, StructLayout]) -> str | None:
    inner = structs.get(field.type)
    try:
        each = inner.size if inner else size_of(field.type)
    except KeyError:
        return f"unknown type {field.type!r}"
    if field.offset < 0 or field.count < 0 or field.bits < 0 or not 0 <= field.bit_offset < 64:
        return "a negative place"
    if field.bits and (field.count or not is_number(field.type) or field.bits > 8 * each):
        return "a bit-field is a plain number"
    size = (field.bit_offset + field.bits + 7) // 8 if field.bits else each * max(field.count, 1)
    return None if field.offset + size <= struct_size else f"ends beyond the {struct_size} bytes of its struct"
