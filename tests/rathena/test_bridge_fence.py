"""A map-server speaks for the players it serves; what it says of others goes nowhere, and it settles."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.rathena import inter
from libs.rathena.keys import NOBODY, key_of
from libs.rathena.tables import MAP_TO_CHAR, VARIABLE
from services.bridge import policy
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


@pytest.mark.parametrize("packet_id", [0x2B01, 0x308B])
def test_recorded_saves_name_the_same_player_inside(packet_id: int) -> None:
    lab = Lab()
    lab.one.owner = lab.two.owner = lab.three.owner = lab.host

    saves = captured.every(packet_id, "map>gw")

    assert saves
    assert all(lab.mux.upward.standing(lab.host, p.packet).passes for p in saves)


def test_a_host_saves_no_other_character_inside_the_save_of_its_own() -> None:
    """The key is its own player's; the struct is another's, which the char-server may go by."""
    lab = Lab()
    own, foreign = save_of(2, 0), save_of(3, 0)

    forged = own[:13] + foreign[13:]

    assert lab.mux.upward.fence(lab.host, own) is lab.two
    assert lab.mux.upward.fence(lab.host, forged) is None
    assert lab.mux.upward.standing(lab.host, forged).why == "the character inside is another"


def test_a_host_saves_no_guilds_storage_and_no_other_table_than_it_says() -> None:
    lab = Lab()
    own = next(p.packet for p in captured.every(0x308B, "map>gw") if p.packet[9:13] == (CHAR + 2).to_bytes(4, "little"))

    assert lab.mux.upward.fence(lab.host, own) is lab.two
    assert lab.mux.upward.standing(lab.host, own[:4] + b"\4" + own[5:]).why == "a guild's storage"
    assert lab.mux.upward.standing(lab.host, own[:4] + b"\3" + own[5:]).why == "the storage inside is another"


def test_a_companion_is_saved_for_its_owner_alone() -> None:
    lab = Lab()

    def pet(account_id: int, char_id: int, size: int = 56) -> bytes:
        struct = (account_id.to_bytes(4, "little") + char_id.to_bytes(4, "little")).ljust(size, b"\0")
        return b"\x82\x30" + (8 + size).to_bytes(2, "little") + lab.two.account_id.to_bytes(4, "little") + struct

    assert lab.mux.upward.fence(lab.host, pet(ACCOUNT + 2, CHAR + 2)) is lab.two
    assert lab.mux.upward.fence(lab.host, pet(ACCOUNT + 2, 0)) is lab.two
    assert lab.mux.upward.fence(lab.host, pet(ACCOUNT + 3, CHAR + 3)) is None
    assert lab.mux.upward.standing(lab.host, pet(ACCOUNT + 2, CHAR + 2, 48)).why == "its struct has another size"


def test_a_save_of_another_build_is_left_to_the_gate_and_the_vps_is_not_doubted() -> None:
    lab = Lab()
    own, foreign = save_of(1, 0), save_of(3, 0)

    assert lab.mux.upward.fence(lab.host, save_of(2, 0)[:-1]) is lab.two
    assert lab.mux.upward.fence(lab.core, own[:13] + foreign[13:]) is lab.one


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
