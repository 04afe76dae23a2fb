"""What the char-server says goes to who it is for; a host learns of its own players alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.rathena import inter
from libs.rathena.keys import key_of
from libs.rathena.tables import CHAR_TO_MAP, VARIABLE
from services.bridge import routes
from services.bridge.effects import Down
from services.bridge.groups import CLAN, GUILD, PARTY
from services.bridge.routes import Way
from tests.rathena import captured
from tests.rathena.bridging import ACCOUNT, CHAR, Lab, kinds

HOST, OTHER, VPS = "h1/prt_fild08", "h2/prt_fild01", {"core", "fallback"}
OWNED = sorted(packet_id for packet_id, route in routes.DOWN.items() if route.way is Way.ONE_OWNER)


@pytest.mark.parametrize("packet_id", OWNED)
def test_every_recorded_answer_of_one_player_goes_to_his_server_alone(packet_id: int) -> None:
    lab = Lab()
    homes = {lab.one: {"core"}, lab.two: {HOST}, lab.three: {OTHER}}

    for recorded in captured.every(packet_id, "char>gw"):
        key = key_of(CHAR_TO_MAP, recorded.packet)
        player = next(p for p in homes if p.account_id == key.account_id or p.char_id == key.char_id or p.name == key.name)
        assert lab.to(recorded.packet) == homes[player]


def test_who_is_being_taken_in_gets_his_answers_there() -> None:
    lab = Lab()
    lab.two.owner, lab.two.bound = None, lab.other

    assert lab.to(inter.QuestLog(char_id=lab.two.char_id, quests=b"").pack()) == {OTHER}


def test_answers_for_who_is_nowhere_are_dropped() -> None:
    lab = Lab()
    lab.two.owner = None

    assert lab.down(inter.StorageSaved(account_id=lab.two.account_id, table=1).pack()) == []


def test_answers_for_strangers_go_to_the_vps_that_brought_them_in() -> None:
    lab = Lab()

    assert lab.to(inter.QuestLog(char_id=CHAR + 77, quests=b"").pack()) == VPS


def test_an_answer_that_contradicts_itself_is_nobodys() -> None:
    lab = Lab()

    assert lab.down(inter.ScdataLoad(account_id=lab.two.account_id, char_id=lab.three.char_id).pack()) == []


@pytest.mark.parametrize("packet_id", [0x2B06, 0x2B21, 0x2AFD])
def test_what_the_core_leaves_reaches_a_host_in_no_case(packet_id: int) -> None:
    lab = Lab()
    recorded = captured.every(packet_id, "char>gw")[0].packet

    assert lab.down(recorded) == []
    for player in (lab.one, lab.two, lab.three):
        lab.players.remove(player)
    assert lab.to(recorded) == VPS


def test_links_own_packets_go_nowhere() -> None:
    lab = Lab()

    for packet_id in (0x2AF9, 0x2AFB, 0x388C, 0x2B04):
        assert lab.down(captured.every(packet_id, "char>gw")[0].packet) == []
    assert lab.down(inter.IpSyncRequest().pack()) == []


def test_everybody_hears_how_many_play_and_who_is_famous() -> None:
    lab = Lab()

    for packet_id in (0x2B00, 0x2B1B, 0x3800):
        assert lab.to(captured.every(packet_id, "char>gw")[0].packet) == {HOST, OTHER, *VPS}
    lab.host.ready = False
    assert lab.to(inter.TotalUsers(users=3).pack()) == {OTHER, *VPS}


def test_words_to_gms_stay_on_the_vps() -> None:
    lab = Lab()

    assert lab.to(inter.WhisperToGmCopy(name=b"Server", permission=1, message=b"hack\0").pack()) == VPS


def test_a_ban_is_told_to_the_vps_and_where_the_player_is() -> None:
    lab = Lab()

    assert lab.to(inter.Ban(id=lab.two.account_id, type=1, value=0).pack()) == {HOST, *VPS}
    assert lab.to(inter.Ban(id=lab.three.char_id, type=2, value=0).pack()) == {OTHER, *VPS}
    assert lab.to(inter.Ban(id=lab.three.char_id, type=1, value=0).pack()) == VPS


def test_families_end_where_they_are() -> None:
    lab = Lab()
    divorce = b"\x12\x2b" + lab.one.char_id.to_bytes(4, "little") + lab.two.char_id.to_bytes(4, "little")
    deadopt = b"\x25\x2b" + b"".join(n.to_bytes(4, "little") for n in (1, 2, lab.three.char_id))

    assert lab.to(divorce) == {HOST, *VPS}
    assert lab.to(deadopt) == {OTHER, *VPS}


def test_mail_and_guild_storages_reach_no_host() -> None:
    lab = Lab()
    mail = captured.every(0x3848, "char>gw")
    owners = {p.char_id: p.owner.server for p in (lab.one, lab.two, lab.three) if p.owner is not None}

    for recorded in mail:
        server = owners[int.from_bytes(recorded.packet[4:8], "little")]
        assert lab.to(recorded.packet) == ({server} & VPS)


def test_a_host_learns_no_group_of_accounts() -> None:
    lab = Lab()

    def told(account_id: int) -> list[int]:
        packet = b"\x2b\x2b" + b"".join(n.to_bytes(4, "little") for n in (account_id, 100, 99)) + b"\1"
        return [
            int.from_bytes(e.packet[10:14], "little") for e in lab.down(packet) if isinstance(e, Down) and len(e.packet) == 15
        ]

    assert told(lab.two.account_id) == [0]
    assert told(lab.one.account_id) == [99]


def test_a_party_is_heard_of_where_its_members_are_from_its_making_to_its_end() -> None:
    """s7b, as the char-server said it to B's slot."""
    lab = Lab()
    seen: dict[int, list[set[str]]] = {}

    for p in captured.packets("s7b_two_slots_party"):
        if p.dir == "char>gw" and p.leg == "char/B" and p.packet_id in (0x3820, 0x3821, 0x3822, 0x3824, 0x3825, 0x3826):
            seen.setdefault(p.packet_id, []).append(lab.to(p.packet))

    assert seen[0x3820] == [{HOST}]
    assert seen[0x3821][0] == {HOST, *VPS}
    assert seen[0x3822] == [{OTHER}]
    assert seen[0x3821][1] == {HOST, OTHER, *VPS}
    assert seen[0x3824][0] == {HOST, OTHER, *VPS}
    assert lab.mux.groups.count(PARTY, 1) == 0


def test_a_guild_is_heard_of_where_its_members_are() -> None:
    """s7, as the char-server said it to B's slot."""
    lab = Lab()
    one, both = (captured.every(0x3831, "char>gw")[n].packet for n in (0, 1))
    words = inter.GuildMessageCopy(guild_id=1, account_id=1, message=b"x : y\0").pack()
    made = captured.every(0x3830, "char>gw")[0].packet
    added = captured.every(0x3832, "char>gw")[0].packet
    left = b"\x34\x38" + b"".join(n.to_bytes(4, "little") for n in (1, ACCOUNT + 3, CHAR + 3)) + bytes(65)

    assert lab.to(one) == {HOST, *VPS}
    assert lab.to(made) == {HOST}
    assert lab.to(both) == {HOST, OTHER, *VPS}
    assert lab.to(added) == {OTHER}
    assert lab.to(left) == {HOST, OTHER, *VPS}
    assert lab.to(words) == {HOST, *VPS}
    assert lab.to(b"\x36\x38\x01\x00\x00\x00\x00") == {HOST, *VPS}
    assert lab.to(words) == VPS


def test_who_is_listed_no_more_is_of_the_party_no_more() -> None:
    lab = Lab()
    alone, both = (captured.every(0x3821, "char>gw")[n].packet for n in (0, 1))

    lab.down(both)
    assert lab.mux.groups.count(PARTY, 1) == 2
    lab.down(alone)
    assert lab.mux.groups.of(PARTY, lab.three.char_id) == 0
    assert lab.mux.groups.of(PARTY, lab.two.char_id) == 1
    lab.down(both[:-1])
    assert lab.mux.groups.count(PARTY, 1) == 1


def test_an_alliance_is_told_to_both_guilds() -> None:
    lab = Lab()
    lab.mux.groups.join(GUILD, 1, lab.two.char_id)
    lab.mux.groups.join(GUILD, 2, lab.three.char_id)
    alliance = (b"\x3d\x38" + b"".join(n.to_bytes(4, "little") for n in (1, 2))).ljust(67, b"\0")

    assert lab.to(alliance) == {HOST, OTHER, *VPS}


def test_a_clans_words_reach_its_members() -> None:
    lab = Lab()
    lab.mux.groups.join(CLAN, 3, lab.two.char_id)

    assert lab.to(inter.ClanMessageCopy(clan_id=3, account_id=1, message=b"x : y\0").pack()) == {HOST, *VPS}
    assert lab.to(inter.ClanOnlineCount(clan_id=4, count=1).pack()) == VPS


def test_who_left_the_game_is_of_no_group() -> None:
    lab = Lab()
    lab.mux.groups.join(CLAN, 3, lab.two.char_id)

    lab.mux.groups.forget(lab.two.char_id)

    assert lab.mux.groups.count(CLAN, 3) == 0
    assert lab.mux.groups.of(CLAN, lab.two.char_id) == 0


def test_groups_are_learned_from_an_entry_and_not_from_another_build() -> None:
    lab = Lab()
    status = captured.every(0x2AFD, "char>gw")[0].packet[25:]

    lab.mux.groups.forget(CHAR + 1)
    lab.mux.groups.learn(status[:-1])

    assert not lab.mux.groups.knows(CLAN, CHAR + 1)
    lab.mux.groups.learn(status)
    assert lab.mux.groups.knows(CLAN, int.from_bytes(status[:4], "little"))


def test_a_player_of_before_the_bridge_gets_his_name_when_it_is_asked_for() -> None:
    lab = Lab()
    lab.players.remove(lab.two)
    nameless = lab.enter(2, b"", lab.host)

    lab.down(inter.CharName(char_id=nameless.char_id, name=b"LabTwo").pack())
    lab.down(inter.CharName(char_id=lab.three.char_id, name=b"Else").pack())

    assert lab.players.by_name[b"LabTwo"] is nameless
    assert lab.three.name == b"LabThree"


def test_what_ends_before_its_key_is_dropped() -> None:
    lab = Lab()

    assert kinds(lab.down(b"\x60\x38\x04\x00")) == ["dropped"]


def framed(packet_id: int, body: bytes) -> bytes:
    length = CHAR_TO_MAP.lengths[packet_id]
    if length != VARIABLE:
        return (packet_id.to_bytes(2, "little") + body).ljust(length, b"\0")[:length]
    return packet_id.to_bytes(2, "little") + (len(body) + 4).to_bytes(2, "little") + body


NUMBERS = st.sampled_from([0, 1, *(ACCOUNT + n for n in range(1, 5)), *(CHAR + n for n in range(1, 5))])
BODIES = st.lists(NUMBERS.map(lambda n: n.to_bytes(4, "little")) | st.binary(max_size=3), max_size=24).map(b"".join)


@given(packets=st.lists(st.builds(framed, st.sampled_from(sorted(CHAR_TO_MAP.kinds)), BODIES), max_size=12))
@settings(max_examples=400, deadline=None)
def test_nothing_keyed_reaches_a_host_that_serves_nobody_and_nobody_gets_anything_twice(packets: list[bytes]) -> None:
    lab = Lab()
    empty = lab.link(5, "h3/prt_fild02", "h3")

    for packet in packets:
        links = [effect.link for effect in lab.down(packet) if isinstance(effect, Down)]
        assert len(links) == len(set(links))
        if empty.link in links:
            assert routes.route_of(int.from_bytes(packet[:2], "little")).way is Way.ALL
