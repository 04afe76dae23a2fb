"""Structs read, changed and cleaned by a layout; a build of another size is told what to do."""

from hashlib import sha256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.rathena import inter
from libs.rathena.carried import mismatch
from libs.rathena.layout import SIZE_BYTES_MAX, BadLayout, Field, Layout, StructLayout, shipped
from libs.rathena.structs import (
    CHARACTER,
    STORAGE,
    BadStruct,
    amounts,
    as_dict,
    integer,
    integers,
    items,
    patched,
    raw,
    read,
    rows,
    zero_holes,
)
from libs.rathena.values import cut, map_name
from tests.rathena import captured

LAYOUT = shipped()
SAVES = [inter.SaveChar.unpack(p.packet) for p in captured.every(0x2B01, "gw>char")]
STORAGES = [inter.StorageSave.unpack(p.packet) for p in captured.every(0x308B, "gw>char")]
SMALL = Layout(
    name="small",
    structs={
        "pair": StructLayout(size=8, fields={"a": Field(0, "u8"), "b": Field(4, "i32")}),
        "flags": StructLayout(size=4, fields={"low": Field(0, "u32", 0, 2, 0), "high": Field(0, "u32", 0, 7, 6)}),
        "all": StructLayout(
            size=44,
            fields={
                "pairs": Field(0, "pair", 3),
                "flags": Field(24, "flags"),
                "name": Field(28, "s8"),
                "many": Field(36, "u16", 2),
                "seen": Field(40, "b2"),
            },
        ),
    },
)


def test_recorded_saves_say_who_where_and_how_rich() -> None:
    for save in SAVES:
        status = as_dict(LAYOUT, CHARACTER, save.status)

        assert (status["account_id"], status["char_id"]) == (save.account_id, save.char_id)
        assert cut(status["name"]) in {b"LabOne", b"LabTwo", b"LabThree"}
        assert 1 <= status["base_level"] <= 99
        assert 0 <= status["zeny"] < 10_000_000
        assert 0 < status["hp"] <= status["max_hp"]
        assert map_name(status["last_point"]["map"]) in {"prt_fild08", "prontera", "izlude", "geffen"}
        assert status["hair"] <= 30
        assert len(status["skill"]) == 1641
    assert len(SAVES) > 50


def test_what_is_read_at_once_is_what_is_read_one_by_one() -> None:
    for save in SAVES:
        fields = ("zeny", "base_level", "hp")
        assert integers(LAYOUT, CHARACTER, save.status, fields) == {
            field: integer(LAYOUT, CHARACTER, save.status, field) for field in fields
        }
    for stored in STORAGES:
        counted: dict[int, int] = {}
        for item in items(LAYOUT, stored.storage, stored.table).values():
            counted[item["nameid"]] = counted.get(item["nameid"], 0) + item["amount"]
        assert amounts(LAYOUT, stored.storage, stored.table) == counted
    for wrong in ("name", "last_point", "rename_", "str_[0]"):
        with pytest.raises(BadStruct):
            integers(LAYOUT, CHARACTER, SAVES[0].status, (wrong,))
    with pytest.raises(BadStruct):
        integers(SMALL, "flags", bytes(4), ("high",))
    with pytest.raises(BadStruct):
        amounts(LAYOUT, STORAGES[0].storage, 9)


def test_recorded_inventories_hold_items() -> None:
    seen: set[int] = set()
    for save in STORAGES:
        held = items(LAYOUT, save.storage, save.table)
        assert len(held) >= integer(LAYOUT, STORAGE, save.storage, "amount") >= 0
        for item in held.values():
            assert 500 <= item["nameid"] < 100_000
            assert 1 <= item["amount"] <= 30_000
            assert len(item["card"]) == 4
            assert len(item["option"]) == 5
            seen.add(item["nameid"])
    assert 909 in seen, "the players hunted Porings: Jellopy"


def test_quests_and_achievements_are_rows() -> None:
    logs = [inter.Achievements.unpack(p.packet) for p in captured.every(0x3862, "char>gw")]

    for log in logs:
        for row in rows(LAYOUT, "achievement", log.achievements):
            assert as_dict(LAYOUT, "achievement", row)["achievement_id"] > 100_000
    with pytest.raises(BadStruct, match="whole number"):
        rows(LAYOUT, "quest", bytes(25))


def test_what_is_patched_is_read_and_nothing_else_changes() -> None:
    status = SAVES[0].status

    changed = patched(
        LAYOUT, CHARACTER, status, {"zeny": 77, "last_point.map": b"geffen", "last_point.x": 9, "memo_point[2].y": 5}
    )

    assert read(LAYOUT, CHARACTER, changed, "zeny") == 77
    assert read(LAYOUT, CHARACTER, changed, "last_point") == {
        "map": b"geffen".ljust(16, b"\0"),
        "x": 9,
        "y": read(LAYOUT, CHARACTER, status, "last_point.y"),
    }
    assert read(LAYOUT, CHARACTER, changed, "memo_point[2].y") == 5
    different = [at for at, (old, new) in enumerate(zip(status, changed, strict=True)) if old != new]
    place = range(238, 258)
    assert all(40 <= at < 44 or at in place or 342 <= at < 344 for at in different)


@given(data=st.binary(min_size=44, max_size=44), low=st.integers(0, 3), high=st.integers(0, 127), many=st.integers(0, 65_535))
def test_bit_fields_and_elements_keep_their_neighbours(data: bytes, low: int, high: int, many: int) -> None:
    before = as_dict(SMALL, "all", data)

    after = as_dict(SMALL, "all", patched(SMALL, "all", data, {"flags.low": low, "flags.high": high, "many[1]": many}))

    assert after.pop("flags") == {"low": low, "high": high}
    assert after.pop("many") == [before.pop("many")[0], many]
    before.pop("flags")
    assert after == before


@given(st.binary(min_size=44, max_size=44), st.binary(min_size=44, max_size=44))
def test_zeroed_holes_hide_what_the_sender_had_in_memory(data: bytes, memory: bytes) -> None:
    holes = bytes(a ^ b for a, b in zip(data, zero_holes(SMALL, "all", data), strict=True))
    assert holes[1:4] == data[1:4]
    assert holes[42:] == data[42:]

    dirty = bytes(d & ~h & 0xFF | m & h for d, h, m in zip(data, _hole_bits(), memory, strict=True))

    assert as_dict(SMALL, "all", dirty) == as_dict(SMALL, "all", data)
    assert zero_holes(SMALL, "all", dirty) == zero_holes(SMALL, "all", data)


def test_a_recorded_storage_without_its_holes_is_read_the_same() -> None:
    save = STORAGES[0]

    clean = zero_holes(LAYOUT, STORAGE, save.storage)

    assert items(LAYOUT, clean, save.table) == items(LAYOUT, save.storage, save.table)
    assert zero_holes(LAYOUT, STORAGE, clean) == clean


def test_packets_of_another_build_are_told_what_to_do() -> None:
    save = SAVES[0].pack()

    for packet_id, dirs in ((0x2B01, "gw>char"), (0x2AFD, "char>gw"), (0x308B, "gw>char"), (0x388A, "char>gw")):
        assert {mismatch(LAYOUT, p.packet) for p in captured.every(packet_id, dirs)} == {None}
    assert mismatch(LAYOUT, inter.Keepalive().pack()) is None
    advice = mismatch(LAYOUT, save + bytes(32)) or ""
    assert "mmo_charstatus has 8888 in this server's build and 8856 in the layout" in advice
    assert "kafra rathena layout MAP_SERVER_BINARY" in advice
    assert mismatch(SMALL, save) is not None


@pytest.mark.parametrize(
    "path",
    ["", "nobody", "last_point.z", "last_point..x", "memo_point[3].x", "memo_point.x", "zeny.x", "zeny[0]", "memo_point[-1]"],
)
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(BadStruct, match="no "):
        read(LAYOUT, CHARACTER, SAVES[0].status, path)


@pytest.mark.parametrize("values", [{"zeny": 1 << 31}, {"name": bytes(25)}, {"memo_point": 1}, {"name": 1}, {"base_level": -1}])
def test_a_value_that_does_not_fit_is_refused(values: dict[str, int | bytes]) -> None:
    with pytest.raises(BadStruct):
        patched(LAYOUT, CHARACTER, SAVES[0].status, values)


def test_bytes_of_another_size_are_no_struct() -> None:
    for act in (as_dict, zero_holes):
        with pytest.raises(BadStruct, match="8855 bytes are no mmo_charstatus of 8856"):
            act(LAYOUT, CHARACTER, bytes(8855))
    with pytest.raises(BadStruct, match="has no dragon"):
        as_dict(LAYOUT, "dragon", b"")
    with pytest.raises(BadStruct, match="no table"):
        items(LAYOUT, STORAGES[0].storage, 9)
    with pytest.raises(BadStruct, match="no number"):
        integer(LAYOUT, CHARACTER, SAVES[0].status, "name")
    assert raw(LAYOUT, CHARACTER, SAVES[0].status, "zeny") == SAVES[0].status[40:44]


def test_a_layout_survives_its_file() -> None:
    for layout in (LAYOUT, SMALL):
        again = Layout.from_json(layout.to_json())

        assert (again.name, again.commit, again.packetver, again.structs) == (
            layout.name,
            layout.commit,
            layout.packetver,
            layout.structs,
        )
    assert sha256(LAYOUT.to_json()).digest() == sha256(Layout.from_json(LAYOUT.to_json()).to_json()).digest()


@pytest.mark.parametrize(
    ("structs", "why"),
    [
        ({"a": {"size": 0, "fields": {}}}, "0 bytes"),
        ({"a": {"size": SIZE_BYTES_MAX + 1, "fields": {}}}, "bytes"),
        ({"a": {"size": 4, "fields": {"x": [2, "u32"]}}}, "ends beyond"),
        ({"a": {"size": 4, "fields": {"x": [-1, "u8"]}}}, "negative"),
        ({"a": {"size": 4, "fields": {"x": [0, "u24"]}}}, "unknown type"),
        ({"a": {"size": 4, "fields": {"x": [0, "b4", 0, 3, 0]}}}, "bit-field"),
        ({"a": {"size": 4, "fields": {"x": [0, "u8", 0, 7, 63]}}}, "ends beyond"),
        ({"aa": {"size": 4, "fields": {"x": [0, "bb"]}}, "bb": {"size": 4, "fields": {"x": [0, "aa"]}}}, "in one another"),
        ({f"s{n}x": {"size": 1, "fields": {}} for n in range(300)}, "300 structs"),
        ({"a": {"size": 4, "fields": {"x": ["0", "u8"]}}}, "no layout"),
    ],
)
def test_a_layout_that_makes_no_sense_is_refused(structs: object, why: str) -> None:
    with pytest.raises(BadLayout, match=why):
        Layout.from_json(msgspec.json.encode({"format": 1, "name": "x", "structs": structs}))


def test_a_layout_of_another_format_is_refused() -> None:
    with pytest.raises(BadLayout, match="format 2"):
        Layout.from_json(b'{"format": 2, "name": "x", "structs": {}}')
    with pytest.raises(BadLayout):
        Layout.from_json(b"[" * 100_000)


@given(st.binary(max_size=100))
@settings(max_examples=100, deadline=None)
def test_arbitrary_bytes_are_no_layout(data: bytes) -> None:
    with pytest.raises(BadLayout):
        Layout.from_json(data)


def _hole_bits() -> bytes:
    kept = zero_holes(SMALL, "all", b"\xff" * 44)
    return bytes(0xFF ^ byte for byte in kept)
