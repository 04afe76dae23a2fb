"""Typed packets are the recorded ones, byte for byte, and reject everything else with BadPacket."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.rathena import client, inter
from libs.rathena.packets import TYPED, BadPacket, Packet
from libs.rathena.structs import shipped
from libs.rathena.tables import MAP_TO_CHAR, TABLES
from libs.rathena.values import (
    Cell,
    Step,
    cut,
    gat,
    ip_bytes,
    ip_text,
    map_name,
    pack_cell,
    pack_step,
    text,
    unpack_cell,
    unpack_step,
)
from tests.rathena import captured

TYPES = sorted(TYPED.values(), key=lambda typed: (typed.way.name, typed.packet_id))
LAB_NAMES = {2_000_001: b"LabOne", 2_000_002: b"LabTwo", 2_000_003: b"LabThree"}


def typed(packet: captured.Captured) -> type[Packet] | None:
    return TYPED.get((packet.table.name, packet.packet_id))


@pytest.mark.parametrize("scenario", captured.scenarios())
def test_unpack_then_pack_gives_every_recorded_packet_again(scenario: str) -> None:
    known = [(kind, packet) for packet in captured.packets(scenario) if (kind := typed(packet))]

    for kind, packet in known:
        assert kind.unpack(packet.packet).pack() == packet.packet, kind.__name__

    assert known


def test_most_typed_packets_are_in_the_recordings() -> None:
    seen = {typed(packet) for scenario in captured.scenarios() for packet in captured.packets(scenario)}

    unseen = {kind.__name__ for kind in TYPES if kind not in seen}

    assert len(seen) > 75, unseen


def test_the_tables_fields_fill_every_fixed_packet() -> None:
    for table in TABLES:
        for kind in table.kinds.values():
            assert kind.length == -1 or 2 <= kind.length <= 65_535, table.title(kind.packet_id)
            assert all(at is None or kind.length < 0 or at + 4 <= kind.length for at in (kind.account_at, kind.char_at))


def test_a_client_enters_with_the_ids_the_map_server_asks_for() -> None:
    enter = client.Enter.unpack(captured.every(0x0436, "client>relay")[0].packet)

    asked = [inter.AuthRequest.unpack(p.packet) for p in captured.every(0x2B26, "gw>char")]

    assert (enter.account_id, enter.char_id, enter.login_id1) in {(a.account_id, a.char_id, a.login_id1) for a in asked}


def test_the_char_server_answers_with_the_character_and_where_it_is() -> None:
    answers = [inter.AuthOk.unpack(p.packet) for p in captured.every(0x2AFD, "char>gw")]

    for answer in answers:
        assert answer.char_id(shipped()) == answer.account_id - 2_000_000 + 150_000
        assert cut(answer.char_name(shipped())) == LAB_NAMES[answer.account_id]
        assert map_name(answer.last_point(shipped()).map) in {"prt_fild08", "prontera", "izlude", "geffen"}
        assert 0 < answer.last_point(shipped()).x < 512
    assert answers


def test_a_change_of_the_map_server_is_answered_with_its_own_beginning() -> None:
    asked = [inter.ChangeMapServer.unpack(p.packet) for p in captured.every(0x2B05, "gw>char")]
    answered = [inter.ChangeMapServerAck.unpack(p.packet) for p in captured.every(0x2B06, "char>gw")]

    assert len(asked) == len(answered) > 0
    for ask, answer in zip(asked, answered, strict=True):
        assert answer.accepted
        assert (ask.char_id, ask.map, ask.dest_ip, ask.dest_port) == (
            answer.char_id,
            answer.map,
            answer.dest_ip,
            answer.dest_port,
        )


def test_lists_of_maps_and_players() -> None:
    hosted = inter.SendMaps.of([b"prt_fild08", b"geffen"])
    elsewhere = inter.OtherMaps.of(ip_bytes("10.1.2.3"), 6121, hosted.names)
    users = inter.RegisterUsers.of([(1, 2), (3, 4)])

    assert hosted.pack() == bytes.fromhex("fa2a2400") + b"prt_fild08".ljust(16, b"\0") + b"geffen".ljust(16, b"\0")
    assert elsewhere.pack()[4:10] == bytes([10, 1, 2, 3, 0x17, 0xE9])
    assert inter.OtherMaps.unpack(elsewhere.pack()).names == [b"prt_fild08", b"geffen"]
    assert inter.RegisterUsers.unpack(users.pack()).pairs == [(1, 2), (3, 4)]


def test_a_copy_for_the_other_slots_is_what_the_char_server_sends() -> None:
    copied = 0
    for packet_id in sorted(inter.COPIED):
        said = [p.packet for p in captured.every(packet_id, "gw>char") if p.scenario.startswith("s7")]
        heard = {p.packet for p in captured.every(packet_id + 0x800, "char>gw")}
        copied += len(said)
        assert {inter.copy_of(packet) for packet in said} <= heard

    assert copied
    assert inter.copy_of(inter.Keepalive().pack()) is None


@given(st.builds(Cell, st.integers(0, 1023), st.integers(0, 1023), st.integers(0, 15)))
def test_cells_round_trip(cell: Cell) -> None:
    assert unpack_cell(pack_cell(cell)) == cell


@given(st.binary(min_size=6, max_size=6))
def test_steps_round_trip(raw: bytes) -> None:
    assert pack_step(unpack_step(raw)) == raw


def test_a_step_of_the_recordings_ends_where_the_next_begins() -> None:
    walk = client.WalkOk.unpack(captured.every(0x0087, "map>relay")[0].packet)

    assert isinstance(walk.move, Step)
    assert abs(walk.move.x0 - walk.move.x1) + abs(walk.move.y0 - walk.move.y1) in range(1, 40)


def test_names_are_any_bytes() -> None:
    assert text(b"Lab\xe9\0junk") == "Lab\\xe9"
    assert text("Léa".encode().ljust(24, b"\0")) == "Léa"
    assert map_name(gat("prt_fild08").ljust(16, b"\0")) == "prt_fild08"
    assert ip_text(ip_bytes("127.0.0.1")) == "127.0.0.1"


@pytest.mark.parametrize("wrong", ["1.2.3", "1.2.3.4.5", "a.b.c.d", "1.2.3.256", ""])
def test_what_is_no_address_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"address|int|bytes|range"):
        ip_bytes(wrong)


@pytest.mark.parametrize(
    "packet",
    [
        client.MapMove(map=b"a_map_name_that_is_too_long", x=1, y=1),
        client.MapMove(map=b"prontera.gat", x=70_000, y=1),
        client.Walk(dest=Cell(1024, 0)),
        client.WalkOk(server_tick=-1, move=Step(0, 0, 0, 0)),
        inter.SaveChar(account_id=1, char_id=1, final=0, status=bytes(70_000)),
        inter.LoginAck(error=256),
        inter.OtherMaps(ip=bytes(4), port=65_536, maps=b""),
        inter.OtherMaps(ip=bytes(5), port=1, maps=b""),
    ],
)
def test_values_that_do_not_fit_are_refused(packet: Packet) -> None:
    with pytest.raises(BadPacket):
        packet.pack()


def test_a_packet_is_not_taken_for_another() -> None:
    with pytest.raises(BadPacket, match="2afe"):
        inter.Keepalive.unpack(inter.UserCount(users=0).pack()[:2])
    with pytest.raises(BadPacket, match="expected 2"):
        inter.Keepalive.unpack(inter.UserCount(users=0).pack())
    with pytest.raises(BadPacket, match="declare 9"):
        inter.SendMaps.unpack(bytes.fromhex("fa2a0900"))


@given(kind=st.sampled_from(TYPES), body=st.binary(max_size=200), whole=st.booleans())
@settings(max_examples=400, deadline=None)
def test_arbitrary_bytes_raise_nothing_but_bad_packet(kind: type[Packet], body: bytes, whole: bool) -> None:
    packet = kind.packet_id.to_bytes(2, "little") + body if whole else body
    with suppress(BadPacket):
        assert kind.unpack(packet).pack() == packet


def test_declarations_belong_to_their_direction() -> None:
    assert inter.SaveChar.way is MAP_TO_CHAR
    assert len(TYPED) == len(TYPES) == len({kind.__name__ for kind in TYPES})
