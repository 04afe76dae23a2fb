"""The layout of the structs on the wire, out of a map-server's debug information (DWARF, as gcc and clang write it).

In: the binary, open for reading. Out: a `Layout`, or `NoLayout` with what to do. Any translation unit that names a struct will
do, so few of the binary's hundred are read: a second, not a minute, for 80 MB.
"""

import re
from collections.abc import Iterator, Mapping, Set
from itertools import islice
from struct import error
from typing import Any, BinaryIO, Final

from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct import ConstructError
from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE
from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DWARFInfo
from elftools.elf.elffile import ELFFile

from libs.rathena.layout import CHARACTER, STORAGE, BadLayout, Field, Layout, StructLayout, shipped

NEEDED: Final = frozenset({CHARACTER, STORAGE, "item"})
"""Without these no save can be checked. Others are taken where they are: not every source has them."""
_RECORDS: Final = frozenset({"DW_TAG_structure_type", "DW_TAG_class_type", "DW_TAG_union_type"})
_RENAMES: Final = frozenset({"DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type"})
_RENAMES_MAX: Final = 64
_PARTS: Final = frozenset({"DW_TAG_member", "DW_TAG_inheritance"})
_UNSIGNED: Final = frozenset({0x02, 0x07, 0x08, 0x10})
"""DW_ATE_boolean, unsigned, unsigned_char, UTF."""
_SIGNED: Final = frozenset({0x05, 0x06})
_REFERENCE_BYTES: Final = 4
"""Of a reference into the table of names (32-bit DWARF, which every compiler writes for files below 4 GB)."""
_ENDS_MAX: Final = 16
_PLUS: Final = 0x23
"""DW_OP_plus_uconst, with which old compilers say where a member is."""
_MALFORMED: Final = (
    ELFError, DWARFError, ConstructError, error, AssertionError, AttributeError, EOFError, LookupError, MemoryError,
    OverflowError, RecursionError, TypeError, ValueError,
)  # fmt: skip
"""What pyelftools raises on a damaged file; it promises nothing narrower."""
_REBUILD: Final = (
    "Build rAthena with `-g` (its default) and do not strip the map-server that you give here; the one you run may be stripped."
)


class NoLayout(Exception):
    """No layout can be made of this file. Give up; the text says what to do."""


def layout_of(binary: BinaryIO, *, name: str, commit: str | None = None, packetver: int | None = None) -> Layout:
    """name, commit, packetver: written into the layout, for people.

    Raises: NoLayout for what is no little-endian ELF file, has no debug information, or does not know the structs.
    """
    try:
        structs = _structs(_debug_information(binary))
        layout = Layout(name=name, commit=commit, packetver=packetver, structs=structs)
        return Layout.from_json(layout.to_json())
    except BadLayout as wrong:
        raise NoLayout(f"the debug information makes no sense: {wrong}") from None
    except _MALFORMED as wrong:
        raise NoLayout(f"the file is damaged: {type(wrong).__name__} {wrong}") from None


def _debug_information(binary: BinaryIO) -> DWARFInfo:
    try:
        elf = ELFFile(binary)
    except ELFError:
        raise NoLayout("no ELF file: the map-server program itself is wanted, built on Linux") from None
    if not elf.little_endian:
        raise NoLayout("built for a big-endian machine; its servers could not talk to others either")
    if elf.get_section_by_name(".debug_info") is None and elf.get_section_by_name(".zdebug_info") is None:
        raise NoLayout(f"no debug information in it. {_REBUILD}")
    return elf.get_dwarf_info(follow_links=False)


def _structs(dwarf: DWARFInfo) -> dict[str, StructLayout]:
    wanted = {struct for struct in shipped().structs if "." not in struct}
    found: dict[str, StructLayout] = {}
    for unit in _units_that_name(wanted, found, dwarf):
        _collect(unit, wanted, found)
    if not found.keys() >= NEEDED:
        for unit in dwarf.iter_CUs():
            _collect(unit, wanted, found)
    if missing := sorted(NEEDED - found.keys()):
        raise NoLayout(f"{', '.join(missing)} not in its debug information: is this a map-server? {_REBUILD}")
    return found


def _collect(unit: CompileUnit, wanted: Set[str], found: dict[str, StructLayout]) -> None:
    for die in unit.get_top_DIE().iter_children():
        if die.tag in _RECORDS and (struct := _name(die)) in wanted and not _declared(die):
            _add(struct, die, found)


def _units_that_name(wanted: Set[str], found: Mapping[str, object], dwarf: DWARFInfo) -> Iterator[CompileUnit]:
    """Units in whose bytes the place of a name lies that is still wanted: looking for bytes is a thousand times quicker than
    reading a unit. Compilers that number their names instead yield none."""
    information, names = _content(dwarf.debug_info_sec), _content(dwarf.debug_str_sec)
    places = {struct: _places(names, struct.encode() + b"\0") for struct in wanted}
    for unit in dwarf.iter_CUs():
        start, end = unit.cu_offset, unit.cu_offset + unit.size
        missing = wanted - found.keys()
        if any(information.find(place, start, end) >= 0 for struct in missing for place in places[struct]):
            yield unit


def _content(section: DebugSectionDescriptor | None) -> bytes:
    if section is None:
        return b""
    section.stream.seek(0)
    content: bytes = section.stream.read()
    return content


def _places(names: bytes, name: bytes) -> list[bytes]:
    """Where the name stands in the table of names, as units refer to it; a linker may have made it the end of a longer one."""
    if (whole := names.find(b"\0" + name)) >= 0:
        return [(whole + 1).to_bytes(_REFERENCE_BYTES, "little")]
    ends = islice(re.finditer(re.escape(name), names), _ENDS_MAX)
    return [end.start().to_bytes(_REFERENCE_BYTES, "little") for end in ends]


def _add(struct_name: str, die: DIE, found: dict[str, StructLayout]) -> None:
    """Enters a struct, and those inside it."""
    if struct_name in found:
        return
    fields: dict[str, Field] = {}
    found[struct_name] = StructLayout(size=_number(die, "DW_AT_byte_size"), fields=fields)
    fields.update(_fields(struct_name, die, 0, found))


def _fields(struct_name: str, die: DIE, base: int, found: dict[str, StructLayout]) -> Iterator[tuple[str, Field]]:
    for part in die.iter_children():
        if part.tag not in _PARTS or "DW_AT_external" in part.attributes or "DW_AT_type" not in part.attributes:
            continue
        field_name, type_die = _name(part), _plain(part)
        if not field_name and type_die.tag in _RECORDS:
            yield from _fields(struct_name, type_die, base + _offset(part), found)
        elif "DW_AT_bit_size" in part.attributes:
            yield field_name, _bit_field(part, type_die, base)
        elif (counted := _counted(type_die)) is not None:
            count, element = counted
            type_name = _type(f"{struct_name}.{field_name}", element, found)
            if count and _is_char(element):
                type_name, count = f"s{count}", 0
            yield field_name, Field(base + _offset(part), type_name, count)


def _counted(die: DIE) -> tuple[int, DIE] | None:
    """Elements (0: no array) and the type of one; None for an array of no fixed size."""
    if die.tag != "DW_TAG_array_type":
        return 0, die
    count = 1
    for bound in die.iter_children():
        if "DW_AT_count" in bound.attributes:
            count *= _number(bound, "DW_AT_count")
        elif "DW_AT_upper_bound" in bound.attributes:
            count *= _number(bound, "DW_AT_upper_bound") + 1
        else:
            return None
    return (count, _plain(die)) if count > 0 else None


def _type(inline_name: str, die: DIE, found: dict[str, StructLayout]) -> str:
    if die.tag in _RECORDS:
        struct_name = _name(die) or inline_name
        _add(struct_name, die, found)
        return struct_name
    size = _number(die, "DW_AT_byte_size", default=die.cu.header.address_size)
    if die.tag == "DW_TAG_enumeration_type":
        return f"{_sign(_plain(die)) if 'DW_AT_type' in die.attributes else 'i'}{8 * size}"
    sign = _sign(die)
    return f"{sign}{8 * size}" if sign else f"b{size}"


def _sign(die: DIE) -> str:
    encoding = _number(die, "DW_AT_encoding", default=0)
    return "u" if encoding in _UNSIGNED else "i" if encoding in _SIGNED else ""


def _bit_field(part: DIE, type_die: DIE, base: int) -> Field:
    bits = _number(part, "DW_AT_bit_size")
    if "DW_AT_bit_offset" in part.attributes:  # DWARF 3: counted from the highest bit of the unit it lies in
        unit = _number(part, "DW_AT_byte_size", default=_number(type_die, "DW_AT_byte_size"))
        lowest = 8 * (_offset(part) + unit) - _number(part, "DW_AT_bit_offset") - bits
    else:
        lowest = _number(part, "DW_AT_data_bit_offset", default=8 * _offset(part))
    return Field(base + lowest // 8, _type("", type_die, {}), 0, bits, lowest % 8)


def _offset(part: DIE) -> int:
    where: Any = part.attributes["DW_AT_data_member_location"].value if "DW_AT_data_member_location" in part.attributes else 0
    if isinstance(where, list):
        if not where or where[0] != _PLUS:
            raise NoLayout("a member's place is computed when the program runs: build with a current gcc or clang")
        return sum((byte & 0x7F) << 7 * n for n, byte in enumerate(where[1:]))
    return int(where)


def _plain(die: DIE) -> DIE:
    """The type of a member, behind typedefs and const."""
    for _ in range(_RENAMES_MAX):
        die = die.get_DIE_from_attribute("DW_AT_type")
        if die.tag not in _RENAMES:
            return die
    raise NoLayout("the file is damaged: a type that is named after itself")


def _is_char(die: DIE) -> bool:
    return die.tag == "DW_TAG_base_type" and _name(die) == "char"


def _declared(die: DIE) -> bool:
    """Named here, defined elsewhere."""
    return "DW_AT_declaration" in die.attributes


def _name(die: DIE) -> str:
    name = die.attributes.get("DW_AT_name")
    return name.value.decode("utf-8", "replace") if name else ""


def _number(die: DIE, attribute: str, default: int | None = None) -> int:
    value = die.attributes.get(attribute)
    return default if value is None and default is not None else int(die.attributes[attribute].value)
