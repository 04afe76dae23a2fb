"""What no recording shows of the char-server: its core alone."""

import pytest

from libs.rathena import inter
from libs.rathena.packets import Packet
from libs.rathena.structs import CHARACTER, patched, shipped
from libs.rathena.values import ip_bytes
from tests.rathena.twin.char_core import CannotLogIn, CharCore
from tests.rathena.twin.effects import Cut, Effect, Send, id_of
from tests.rathena.twin.people import person, saved_of, status_of
from tests.rathena.twin.store import LOST, Store

FIRST, SECOND = person(0), person(1)
LOCAL = ip_bytes("127.0.0.1")


def ids(effects: list[Effect], to: int | None = None) -> list[str]:
    return [f"{id_of(e.data):04x}" for e in effects if isinstance(e, Send) and to in {None, e.to}]


def last(effects: list[Effect], packet_type: type[Packet]) -> Packet:
    """The last packet of this type."""
    found = [e.data for e in effects if isinstance(e, Send) and id_of(e.data) == packet_type.packet_id]
    return packet_type.unpack(found[-1])


def char_server(*links: int, maps: tuple[bytes, ...] = (b"prontera",)) -> CharCore:
    """Each link a slot, on ports 5001, 5002, ..; the first has the maps."""
    store = Store()
    store.settle([FIRST, SECOND], "prontera", 10, 20)
    core = CharCore(store)
    for link in links:
        core.received(link, inter.MapLogin(userid=b"s1", passwd=b"p1", map_ip=LOCAL, map_port=5_000 + link).pack(), 0)
        core.received(link, inter.SendMaps.of(maps if link == links[0] else [b"izlude"]).pack(), 0)
    return core


def enter(core: CharCore, link: int = 1) -> inter.AuthOk:
    ticket = core.login(FIRST.account_id)
    request = inter.AuthRequest(
        account_id=ticket.account_id, char_id=ticket.char_id, login_id1=ticket.login_id1, sex=1, client_ip=LOCAL
    )
    answer = last(core.received(link, request.pack(), 0), inter.AuthOk)
    assert isinstance(answer, inter.AuthOk)
    return answer


def change(port: int, map_name: bytes = b"izlude") -> bytes:
    packet = inter.ChangeMapServer(
        account_id=FIRST.account_id,
        char_id=FIRST.char_id,
        login_id1=1,
        login_id2=2,
        map=map_name,
        x=33,
        y=44,
        dest_ip=LOCAL,
        dest_port=port,
        sex=1,
        client_ip=LOCAL,
        group_id=0,
    )
    return packet.pack()


def test_2afa_replaces_the_maps_of_the_slot() -> None:
    core = char_server(1, 2)

    told = core.received(1, inter.SendMaps.of([b"geffen"]).pack(), 0)

    assert ids(told, 1)[:2] == ["2afb", "2b1b"]
    assert ids(told, 2) == ["2b04"]
    with pytest.raises(CannotLogIn):
        core.login(FIRST.account_id)


def test_a_wrong_password_is_refused() -> None:
    core = char_server()

    told = core.received(1, inter.MapLogin(userid=b"s1", passwd=b"x", map_ip=LOCAL, map_port=1).pack(), 0)

    assert last(told, inter.LoginAck) == inter.LoginAck(error=3)
    assert core.slots == {}


def test_a_link_begins_with_2af8() -> None:
    assert char_server().received(1, inter.Keepalive().pack(), 0) == [Cut(1)]


def test_2aff_of_a_slot_loses_whoever_it_does_not_list() -> None:
    core = char_server(1)
    enter(core)

    core.received(1, inter.RegisterUsers.of([(SECOND.account_id, SECOND.char_id)]).pack(), 0)

    assert core.store.online == {FIRST.char_id: LOST, SECOND.char_id: 0}


def test_2aff_that_claims_another_slots_player_costs_that_slot_the_player() -> None:
    core = char_server(1, 2)
    enter(core)

    told = core.received(2, inter.RegisterUsers.of([(FIRST.account_id, FIRST.char_id)]).pack(), 0)

    assert ids(told, 1) == ["2b1f"]
    assert core.store.online == {FIRST.char_id: 1}


@pytest.mark.parametrize(("port", "map_name"), [(5_009, b"izlude"), (5_002, b"geffen"), (5_001, b"izlude")])
def test_2b05_to_a_place_no_slot_registered_is_refused(port: int, map_name: bytes) -> None:
    core = char_server(1, 2)
    enter(core)

    answer = last(core.received(1, change(port, map_name), 0), inter.ChangeMapServerAck)

    assert isinstance(answer, inter.ChangeMapServerAck)
    assert not answer.accepted
    assert core.store.online == {FIRST.char_id: 0}


def test_2b05_gives_the_position_and_a_node_that_says_so() -> None:
    core = char_server(1, 2)
    enter(core)

    core.received(1, change(5_002), 0)
    request = inter.AuthRequest(account_id=FIRST.account_id, char_id=FIRST.char_id, login_id1=1, sex=1, client_ip=LOCAL)
    answer = last(core.received(2, request.pack(), 0), inter.AuthOk)

    assert isinstance(answer, inter.AuthOk)
    assert (answer.changing_map_servers, answer.login_id2) == (1, 2)
    placed = saved_of(answer.status)
    assert (placed.map, placed.x, placed.y) == ("izlude", 33, 44)


def test_where_2b05_put_him_is_written_by_no_save_that_says_the_same() -> None:
    core = char_server(1, 2)
    enter(core)
    before = core.store.saved(FIRST.char_id)
    core.received(1, change(5_002), 0)

    core.received(2, save_at(core, 33, 44), 0)
    same = core.store.saved(FIRST.char_id)
    core.received(2, save_at(core, 33, 45), 0)

    assert same == before
    assert core.store.saved(FIRST.char_id).y == 45


def save_at(core: CharCore, x: int, y: int) -> bytes:
    """FIRST as the char-server has him, at this place of his map."""
    status = patched(shipped(), CHARACTER, core.store.chars[FIRST.char_id].status, {"last_point.x": x, "last_point.y": y})
    return inter.SaveChar(account_id=FIRST.account_id, char_id=FIRST.char_id, final=0, status=status).pack()


def test_2b18_takes_everybody_of_the_slot_offline_and_2b17_one() -> None:
    core = char_server(1)
    enter(core)
    core.store.online[SECOND.char_id] = 0

    core.received(1, inter.CharOffline(account_id=FIRST.account_id, char_id=FIRST.char_id).pack(), 0)
    assert core.store.online == {SECOND.char_id: 0}
    core.received(1, inter.AllCharsOffline().pack(), 0)

    assert core.store.online == {}


def test_any_save_is_accepted_from_whomever() -> None:
    core = char_server(1, 2)
    status = status_of(FIRST, "prontera", 1, 1, zeny=7)
    save = inter.SaveChar(account_id=FIRST.account_id, char_id=FIRST.char_id, final=0, status=status)

    core.received(2, save.pack(), 0)
    core.received(2, inter.SaveChar(account_id=1, char_id=FIRST.char_id, final=0, status=status[:-1]).pack(), 0)

    assert core.store.saved(FIRST.char_id).zeny == 7
    assert core.store.save_counts == {FIRST.char_id: 1}


@pytest.mark.parametrize(
    ("packet", "heard"),
    [
        (inter.Broadcast(font_color=0, font_type=0, font_size=0, font_align=0, font_y=0, message=b"x\0"), {2: ["3800"]}),
        (inter.WhisperToGm(name=b"Twin001", permission=1, message=b"x\0"), {1: ["3803"], 2: ["3803"]}),
        (inter.BroadcastItem(item_id=501, source=1, type=0, name=b"Twin001"), {2: ["3809"]}),
        (inter.PartyMessage(party_id=1, account_id=1, message=b"x\0"), {2: ["3827"]}),
        (inter.GuildMessage(guild_id=1, account_id=1, message=b"x\0"), {2: ["3837"]}),
        (inter.ClanMessage(clan_id=1, account_id=1, message=b"x\0"), {2: ["38a1"]}),
        (inter.ClanMemberJoined(clan_id=1), {2: ["38a2"]}),
        (inter.ClanMemberLeft(clan_id=1), {2: ["38a2"]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_one_slot_says_to_all_the_other_slots_hear(packet: Packet, heard: dict[int, list[str]]) -> None:
    core = char_server(1, 2)

    told = core.received(1, packet.pack(), 0)

    assert {link: ids(told, link) for link in (1, 2) if ids(told, link)} == heard


def test_a_whisper_waits_for_every_slot_unless_one_has_him() -> None:
    core = char_server(1, 2)
    core.received(1, inter.Whisper(sender_group_level=0, sender=b"a", target=SECOND.name, message=b"x\0").pack(), 0)
    core.received(1, inter.Whisper(sender_group_level=0, sender=b"a", target=SECOND.name, message=b"y\0").pack(), 0)

    answers = [
        core.received(link, inter.WhisperReply(whisper_id=whisper_id, flag=flag).pack(), 0)
        for link, whisper_id, flag in [(1, 1, 1), (2, 1, 1), (1, 1, 0), (2, 2, 0), (1, 2, 1)]
    ]

    assert [ids(told) for told in answers] == [[], ["3802"], [], ["3802"], []]
    assert last(answers[1], inter.WhisperResult) == inter.WhisperResult(sender=b"a".ljust(24, b"\0"), flag=1)
    assert last(answers[3], inter.WhisperResult) == inter.WhisperResult(sender=b"a".ljust(24, b"\0"), flag=0)
