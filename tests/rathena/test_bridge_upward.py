"""What map-servers say is merged, answered here, doubted or passed on; what a stock host says is never refused."""

import pytest

from libs.rathena import inter
from services.bridge import policy, routes
from services.bridge.effects import Down, Up
from services.bridge.groups import GUILD, PARTY
from tests.rathena import captured
from tests.rathena.bridging import ACCOUNT, CHAR, Lab, kinds, ups

CORES = policy.HANDLED | policy.CHECKED


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
