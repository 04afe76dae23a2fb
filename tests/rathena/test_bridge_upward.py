"""A map-server speaks for the players it serves; what it says of others goes nowhere, and it settles."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.rathena import inter
from libs.rathena.keys import NOBODY, key_of
from libs.rathena.tables import MAP_TO_CHAR, VARIABLE
from services.bridge import policy, routes
from services.bridge.effects import Down, Up
from services.bridge.groups import GUILD, PARTY
from services.bridge.policy import Rule
from tests.rathena import captured
from tests.rathena.bridging import ACCOUNT, CHAR, Lab, kinds, servers, ups

CORES = policy.HANDLED | policy.CHECKED


def save_of(number: int, final: int) -> bytes:
    """A recorded 2b01 of this player."""
    return next(
        p.packet
        for p in captured.every(0x2B01, "map>gw")
        if p.packet[8:12] == (CHAR + number).to_bytes(4, "little") and p.packet[12] == final
    )


def test_requests_of_a_host_for_its_own_player_pass_and_for_others_do_not() -> None:
    lab = Lab()
    own = inter.ScdataRequest(account_id=lab.two.account_id, char_id=lab.two.char_id).pack()
    foreign = inter.ScdataRequest(account_id=lab.three.account_id, char_id=lab.three.char_id).pack()
    mixed = inter.ScdataRequest(account_id=lab.three.account_id, char_id=lab.two.char_id).pack()
    nobody = inter.ScdataRequest(account_id=0, char_id=lab.two.char_id).pack()

    assert lab.up(lab.host, own) == [Up(own)]
    for packet in (foreign, mixed, nobody):
        assert kinds(lab.up(lab.host, packet)) == ["fenced"]


def test_a_player_between_two_servers_is_nobodys() -> None:
    lab = Lab()
    lab.two.owner, lab.two.bound = None, lab.host

    effects = lab.up(lab.host, inter.QuestLogRequest(char_id=lab.two.char_id).pack())

    assert kinds(effects) == ["fenced"]


def test_a_stale_vps_server_is_fenced_and_strangers_of_the_vps_pass() -> None:
    lab = Lab()
    stale = inter.QuestLogRequest(char_id=lab.two.char_id).pack()
    trader = inter.QuestLogRequest(char_id=CHAR + 77).pack()

    assert kinds(lab.up(lab.core, stale)) == ["fenced"]
    assert lab.up(lab.core, trader) == [Up(trader)]
    assert kinds(lab.up(lab.host, trader)) == ["fenced"]


def test_a_party_leader_on_the_vps_may_expel_who_is_on_a_host() -> None:
    lab = Lab()
    expel = (0x3024).to_bytes(2, "little") + b"".join(n.to_bytes(4, "little") for n in (1, ACCOUNT + 2, CHAR + 2)) + bytes(25)

    assert lab.up(lab.core, expel) == [Up(expel)]


def test_a_final_save_that_did_not_pass_is_acknowledged_so_that_it_is_not_repeated() -> None:
    """s5: what the zombie heard."""
    lab = Lab()
    final, periodic = save_of(3, 1), save_of(3, 0)

    assert lab.mux.upward.fence(lab.host, final) is None
    assert not lab.mux.upward.is_nobody(final)
    ack = inter.SaveAck(account_id=ACCOUNT + 3, char_id=CHAR + 3).pack()
    assert list(lab.mux.upward.settle(lab.host, final)) == [Down(lab.host.link, ack)]
    assert list(lab.mux.upward.settle(lab.host, periodic)) == []


def test_a_storage_that_did_not_pass_is_acknowledged_as_the_char_server_does() -> None:
    lab = Lab()
    saves = [p for p in captured.every(0x308B, "gw>char") if p.scenario == "s6_logout"]
    acks = {p.packet for p in captured.every(0x388B, "char>gw") if p.scenario == "s6_logout"}

    made = {effect.packet for p in saves for effect in lab.mux.upward.settle(lab.host, p.packet) if isinstance(effect, Down)}

    assert made == acks


def test_other_packets_that_did_not_pass_need_no_answer() -> None:
    lab = Lab()

    assert list(lab.mux.upward.settle(lab.host, inter.QuestLogRequest(char_id=1).pack())) == []
    assert list(lab.mux.upward.settle(lab.host, b"\x01\x2b\x05\x00\x00")) == []


def test_the_fence_names_the_player_for_the_core() -> None:
    lab = Lab()

    assert lab.mux.upward.fence(lab.other, save_of(3, 0)) is lab.three
    assert lab.mux.upward.fence(lab.core, save_of(3, 0)) is None
    lab.players.remove(lab.three)
    assert lab.mux.upward.is_nobody(save_of(3, 0))
    assert not lab.mux.upward.is_nobody(inter.Keepalive().pack())
    assert not lab.mux.upward.is_nobody(b"\x01\x2b")


def test_a_stale_save_of_another_character_of_an_account_in_play_is_no_strangers() -> None:
    """Its storage is the account's: the core would overwrite what the host's player has now."""
    lab = Lab()
    save = inter.StorageSave(account_id=lab.two.account_id, char_id=CHAR + 77, table=3, storage=bytes(32)).pack()

    assert lab.mux.upward.fence(lab.core, save) is None
    assert not lab.mux.upward.is_nobody(save)


def test_the_char_server_is_told_the_sum_of_the_users() -> None:
    lab = Lab()

    first = lab.up(lab.core, inter.UserCount(users=40).pack())
    second = lab.up(lab.fallback, inter.UserCount(users=2).pack())

    assert ups(first) == [inter.UserCount(users=40).pack()]
    assert ups(second) == [inter.UserCount(users=42).pack()]


def test_a_host_counts_for_no_more_players_than_it_has() -> None:
    lab = Lab()

    assert ups(lab.up(lab.host, inter.UserCount(users=5_000).pack())) == [inter.UserCount(users=1).pack()]


def test_users_of_a_server_whose_link_ended_are_no_more() -> None:
    lab = Lab()
    lab.up(lab.core, inter.UserCount(users=40).pack())
    lab.up(lab.fallback, inter.UserCount(users=60_000).pack())

    assert lab.unlink(lab.core) == [Up(inter.UserCount(users=60_000).pack())]


def test_the_sum_fits_its_field() -> None:
    lab = Lab()
    lab.up(lab.core, inter.UserCount(users=60_000).pack())

    assert ups(lab.up(lab.fallback, inter.UserCount(users=60_000).pack())) == [inter.UserCount(users=65_535).pack()]


def test_keepalives_are_answered_here() -> None:
    lab = Lab()

    assert lab.up(lab.host, inter.Keepalive().pack()) == [Down(lab.host.link, inter.KeepaliveAck().pack())]


def test_a_servers_own_address_is_swallowed() -> None:
    lab = Lab()

    assert lab.up(lab.core, inter.UpdateMapIp(map_ip=b"\x7f\0\0\1").pack()) == []


def test_who_is_offline_says_the_bridge() -> None:
    lab = Lab()
    own = inter.CharOffline(char_id=CHAR + 1, account_id=ACCOUNT + 1).pack()
    trader = inter.CharOffline(char_id=CHAR + 77, account_id=ACCOUNT + 77).pack()

    assert lab.up(lab.core, own) == lab.up(lab.host, own) == lab.up(lab.host, trader) == []
    assert lab.up(lab.core, trader) == [Up(trader)]


def test_castles_and_mail_are_asked_for_by_every_stock_host_without_harm() -> None:
    lab = Lab()
    castles = captured.every(0x3040, "gw>char")[0].packet
    inbox = captured.every(0x3048, "gw>char")[0].packet

    assert lab.up(lab.host, castles) == lab.up(lab.host, inbox) == []
    assert ups(lab.up(lab.core, castles)) == [castles]


def test_answers_that_name_nobody_go_to_who_asked_in_the_order_of_the_questions() -> None:
    lab = Lab()
    castles, clans = captured.every(0x3840, "char>gw")[0].packet, captured.every(0x38A0, "char>gw")[0].packet
    for node in (lab.fallback, lab.core):
        lab.up(node, inter.GuildCastleLoad(castle_ids=bytes(4)).pack())
    for node in (lab.host, lab.core):
        lab.up(node, inter.ClanListRequest().pack())

    assert [lab.to(castles), lab.to(castles)] == [{"fallback"}, {"core"}]
    assert [lab.to(clans), lab.to(clans)] == [{"h1/prt_fild08"}, {"core"}]
    assert lab.to(clans) == {"core", "fallback"}


def test_a_question_whose_asker_has_gone_is_answered_to_nobody_else_of_the_hosts() -> None:
    lab = Lab()
    lab.up(lab.host, inter.ClanListRequest().pack())
    lab.unlink(lab.host)

    assert lab.to(captured.every(0x38A0, "char>gw")[0].packet) == {"core", "fallback"}


def test_a_name_goes_to_all_who_wait_for_it() -> None:
    lab = Lab()
    for node in (lab.host, lab.other, lab.host):
        assert ups(lab.up(node, inter.SearchCharName(char_id=9).pack()))

    assert lab.to(inter.CharName(char_id=9, name=b"Nine").pack()) == {"h1/prt_fild08", "h2/prt_fild01"}


def test_a_gms_question_is_the_vps_alone_and_answered_line_by_line() -> None:
    lab = Lab()
    question = inter.AccountInfoRequest(requester_fd=7, account_id=lab.one.account_id, group_level=99, query=b"LabTwo").pack()
    line = b"\x07\x38\x10\x00" + b"".join(n.to_bytes(4, "little") for n in (7, lab.one.account_id)) + b"line"

    assert kinds(lab.up(lab.host, question)) == ["refused"]
    lab.up(lab.core, question)
    assert [lab.to(line), lab.to(line)] == [{"core"}, {"core"}]


def test_waiting_questions_are_bounded() -> None:
    lab = Lab()

    for number in range(5_000):
        lab.up(lab.host, inter.SearchCharName(char_id=number + 1).pack())

    assert lab.to(inter.CharName(char_id=1, name=b"old").pack()) == {"core", "fallback"}
    assert lab.to(inter.CharName(char_id=5_000, name=b"new").pack()) == {"h1/prt_fild08"}


def test_answered_questions_wait_no_more() -> None:
    lab = Lab()
    lab.up(lab.other, inter.SearchCharName(char_id=9_999).pack())

    for number in range(5_000):
        lab.up(lab.host, inter.SearchCharName(char_id=number + 1).pack())
        lab.to(inter.CharName(char_id=number + 1, name=b"who").pack())

    assert lab.to(inter.CharName(char_id=9_999, name=b"old").pack()) == {"h2/prt_fild01"}


def test_another_char_server_owes_no_answers() -> None:
    lab = Lab()
    lab.up(lab.host, inter.ClanListRequest().pack())

    lab.mux.char_server_lost()

    assert lab.to(captured.every(0x38A0, "char>gw")[0].packet) == {"core", "fallback"}


def test_a_hosts_party_packets_are_of_parties_its_players_are_in() -> None:
    lab = Lab()
    lab.mux.groups.join(PARTY, 1, lab.two.char_id)
    moved = inter.PartyChangeMap(
        party_id=1, account_id=lab.two.account_id, char_id=lab.two.char_id, online=1, level=9, map=b"prt_fild08"
    )
    other = inter.PartyChangeMap(
        party_id=2, account_id=lab.two.account_id, char_id=lab.two.char_id, online=1, level=9, map=b"prt_fild08"
    )

    assert lab.up(lab.host, moved.pack()) == [Up(moved.pack())]
    assert kinds(lab.up(lab.host, other.pack())) == ["forged"]


def test_who_was_in_the_game_before_the_bridge_is_no_forger() -> None:
    lab = Lab()
    lab.mux.groups.forget(lab.two.char_id)
    short = inter.GuildMemberInfoShort(
        guild_id=1, account_id=lab.two.account_id, char_id=lab.two.char_id, online=1, level=9, class_=0
    )

    assert kinds(lab.up(lab.host, short.pack())) == ["dropped"]


def test_a_host_asks_for_the_guilds_of_its_players_alone() -> None:
    lab = Lab()
    lab.mux.groups.join(GUILD, 1, lab.two.char_id)
    mine, others = (b"\x31\x30" + n.to_bytes(4, "little") for n in (1, 2))

    assert ups(lab.up(lab.host, mine)) == [mine]
    assert kinds(lab.up(lab.host, others)) == ["forged"]


def test_a_host_loads_no_guild_storage_and_renames_no_character() -> None:
    lab = Lab()
    who = {"account_id": lab.two.account_id, "char_id": lab.two.char_id}
    inventory, guild = (inter.StorageLoad(**who, table=table, storage_id=0, mode=0).pack() for table in (1, 4))
    renames = [
        b"\x06\x30"
        + lab.two.account_id.to_bytes(4, "little")
        + lab.two.char_id.to_bytes(4, "little")
        + bytes([kind])
        + b"Fluffy".ljust(25, b"\0")
        for kind in (0, 1, 2)
    ]

    assert lab.up(lab.host, inventory) == [Up(inventory)]
    assert kinds(lab.up(lab.host, guild)) == ["forged"]
    assert [kinds(lab.up(lab.host, packet)) for packet in renames] == [["forged"], [], []]


def test_a_host_adds_its_player_to_parties_of_its_players_alone_and_by_a_whole_struct() -> None:
    lab = Lab()
    lab.players.remove(lab.three)
    joined = captured.every(0x3022, "map>gw")[0].packet
    short = b"\x22\x30\x14\x00" + joined[4:20]
    lab.enter(3, b"LabThree", lab.host)

    assert kinds(lab.up(lab.host, joined)) == ["forged"], "nobody of that party is there to invite him"
    lab.mux.groups.join(PARTY, 1, lab.two.char_id)
    assert lab.up(lab.host, joined) == [Up(joined)]
    assert kinds(lab.up(lab.host, short)) == ["forged"]


GUILD_MADE = {0x3030, 0x3032}
"""s7: a guild was made at B, which hosts may not."""


@pytest.mark.parametrize("scenario", captured.scenarios())
def test_a_stock_host_that_serves_everybody_says_nothing_it_may_not(scenario: str) -> None:
    lab = Lab()
    lab.one.owner = lab.two.owner = lab.three.owner = lab.host
    slots = {p.leg for p in captured.packets(scenario) if p.dir == "char>gw"} & {"char/mux", "char/B"}
    reports = []
    if scenario == "s7b_two_slots_party":  # begins with the guild that s7 ends with
        lab.mux.groups.join(GUILD, 1, lab.two.char_id)
        lab.mux.groups.join(GUILD, 1, lab.three.char_id)

    for p in captured.packets(scenario):
        if p.dir == "char>gw" and p.leg in slots and routes.route_of(p.packet_id).way is not routes.Way.HANDLED:
            lab.down(p.packet)
        elif p.packet_id == 0x2AFD and p.dir == "char>gw":
            lab.mux.groups.learn(p.packet[25:])
        elif p.dir == "map>gw" and p.leg == "host/B" and p.packet_id not in CORES | GUILD_MADE | {0x3002}:
            reports += [(hex(p.packet_id), kind) for kind in kinds(lab.up(lab.host, p.packet))]

    assert reports == []


def framed(packet_id: int, body: bytes) -> bytes:
    """A packet that a splitter lets through."""
    length = MAP_TO_CHAR.lengths[packet_id]
    if length != VARIABLE:
        return (packet_id.to_bytes(2, "little") + body).ljust(length, b"\0")[:length]
    return packet_id.to_bytes(2, "little") + (len(body) + 4).to_bytes(2, "little") + body


NUMBERS = st.sampled_from([0, 1, 5, *(ACCOUNT + n for n in range(1, 5)), *(CHAR + n for n in range(1, 5))])
WORDS = st.sampled_from([b"LabOne", b"LabTwo", b"LabThree", b"Nobody"]).map(lambda name: name.ljust(24, b"\0"))
BODIES = st.lists(NUMBERS.map(lambda n: n.to_bytes(4, "little")) | WORDS | st.binary(max_size=3), max_size=24).map(b"".join)
TAKEN = sorted(set(MAP_TO_CHAR.kinds) - CORES)
PACKETS = st.lists(st.builds(framed, st.sampled_from(TAKEN), BODIES), max_size=12)


def said(lab: Lab, packets: Iterable[bytes]) -> list[bytes]:
    """What a host's words become for the char-server."""
    return [up for packet in packets for up in ups(lab.up(lab.host, packet))]


@given(packets=PACKETS)
@settings(max_examples=400, deadline=None)
def test_of_a_host_that_serves_nobody_nothing_but_public_questions_and_its_users_go_up(packets: list[bytes]) -> None:
    lab = Lab()
    lab.two.owner = None

    for packet in said(lab, packets):
        packet_id = int.from_bytes(packet[:2], "little")
        assert packet_id in {0x2AFE, 0x2B08, 0x30A0}, hex(packet_id)
        assert packet_id != 0x2AFE or packet == inter.UserCount(users=0).pack()


@given(packets=PACKETS)
@settings(max_examples=400, deadline=None)
def test_of_a_host_nothing_goes_up_that_names_anothers_player(packets: list[bytes]) -> None:
    lab = Lab()
    lab.mux.groups.join(PARTY, 1, lab.two.char_id)
    lab.mux.groups.join(GUILD, 5, lab.two.char_id)

    for packet in said(lab, packets):
        row = policy.row_of(int.from_bytes(packet[:2], "little"))
        if row.group is not None:
            group_id = int.from_bytes(packet[row.group.offset : row.group.offset + 4], "little")
            assert (row.group.kind, group_id) in ((PARTY, 1), (GUILD, 5))
        if row.rule is Rule.ASKED:
            continue
        key = key_of(MAP_TO_CHAR, packet)
        assert key.account_id in (None, lab.two.account_id)
        assert key.char_id in (None, lab.two.char_id)
        assert key.name in (None, lab.two.name)


@given(packet_id=st.sampled_from(sorted(MAP_TO_CHAR.kinds)), body=BODIES)
@settings(max_examples=400, deadline=None)
def test_the_fence_lets_a_host_speak_of_its_own_alone(packet_id: int, body: bytes) -> None:
    """For the core's packets too."""
    lab = Lab()
    packet = framed(packet_id, body)

    player = lab.mux.upward.fence(lab.host, packet)

    assert player in (None, lab.two)
    if player is not None:
        assert key_of(MAP_TO_CHAR, packet) is not NOBODY
    assert servers(lab, lab.mux.upward.settle(lab.host, packet)) <= {"h1/prt_fild08"}
