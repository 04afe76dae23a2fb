"""Every packet id has a rule and a way; hosts may not say what is the VPS's."""

import pytest

from libs.rathena import inter
from libs.rathena.tables import CHAR_TO_MAP, MAP_TO_CHAR
from services.bridge import policy, routes
from services.bridge.policy import Rule
from services.bridge.routes import Way
from tests.rathena.bridging import CHAR, Lab, kinds, ups

VPS_ALONE = {
    "mail": {0x3049, 0x304A, 0x304B, 0x304C, 0x304D, 0x304E},
    "auctions": {0x3050, 0x3051, 0x3052, 0x3053, 0x3055},
    "bans and accounts": {0x2B0C, 0x2B0E, 0x2B28, 0x2B2A},
    "castles": {0x3041},
    "guilds": {*range(0x3030, 0x3040), 0x3042, 0x3018, 0x3019, 0x3056} - {0x3031, 0x3035, 0x3037},
    "GM acts": {0x3000, 0x3003, 0x3007, 0x302A, 0x2B1A},
}
"""DESIGN section 7, by what it names."""


def test_every_id_that_can_be_framed_has_a_rule_and_no_rule_is_of_another() -> None:
    assert set(policy.UP) == set(MAP_TO_CHAR.kinds)


def test_every_id_that_can_be_framed_has_a_way_and_no_way_is_of_another() -> None:
    assert set(routes.DOWN) == set(CHAR_TO_MAP.kinds)


def test_every_rule_and_every_way_says_why() -> None:
    assert all(row.why for row in policy.UP.values())
    assert all(route.why for route in routes.DOWN.values())


@pytest.mark.parametrize("what", VPS_ALONE)
def test_what_is_the_vps_alone_is_refused_from_hosts_and_passes_from_the_vps(what: str) -> None:
    lab = Lab()

    for packet_id in VPS_ALONE[what]:
        assert policy.rule_for(lab.host, packet_id) is Rule.REFUSED, hex(packet_id)
        assert policy.rule_for(lab.core, packet_id) is Rule.PASSED, hex(packet_id)


def test_a_whole_slot_goes_offline_by_nobody() -> None:
    lab = Lab()

    assert {policy.rule_for(node, 0x2B18) for node in lab.nodes} == {Rule.HANDLED}


def test_an_id_without_a_rule_is_refused_from_everybody() -> None:
    lab = Lab()

    assert policy.rule_for(lab.host, 0x2AF7) is policy.rule_for(lab.core, 0x2AF7) is Rule.REFUSED
    assert routes.route_of(0x2AF7).way is Way.SWALLOW


def test_what_changes_a_character_is_checked() -> None:
    lab = Lab()
    state = {0x2B01, 0x308B, 0x3004, 0x2B1C, 0x2B15, 0x2B2E, 0x3061, 0x3063, 0x3064, 0x3073, 0x307F, 0x3082, 0x3092}

    assert state <= policy.CHECKED
    assert not any(policy.UP[packet_id].others for packet_id in policy.CHECKED | policy.HANDLED)
    assert {policy.rule_for(node, packet_id) for node in lab.nodes for packet_id in state} == {Rule.CHECKED}


def test_own_packets_can_be_told_to_be_own() -> None:
    """By a key, or by a group."""
    for packet_id, row in policy.UP.items():
        kind = MAP_TO_CHAR.kind(packet_id)
        keyed = not (kind.account_at is kind.char_at is kind.name_at is None)
        if row.rule in (Rule.OWN, Rule.CHECKED):
            assert keyed or row.group is not None, hex(packet_id)


def test_packets_of_one_owner_say_who_it_is() -> None:
    for packet_id, route in routes.DOWN.items():
        kind = CHAR_TO_MAP.kind(packet_id)
        if route.way in (Way.ONE_OWNER, Way.OWNER_ON_VPS):
            assert not (kind.account_at is kind.char_at is kind.name_at is None), hex(packet_id)


def test_groups_stand_where_the_tables_say() -> None:
    for table, rows in ((MAP_TO_CHAR, policy.UP), (CHAR_TO_MAP, routes.DOWN)):
        for packet_id, row in rows.items():
            kind = table.kind(packet_id)
            start = 4 if kind.length < 0 else 2
            groups = row.groups if isinstance(row, routes.Route) else (row.group,) if row.group else ()
            for at in groups:
                first, second = kind.fields[0][0], kind.fields[1][0] if len(kind.fields) > 1 else ""
                named = first if at.offset == start else second
                assert named.startswith(at.kind) or named in ("party", "guild", "party_id", "guild_id2"), hex(packet_id)


def test_the_core_is_not_asked_to_be_handed_its_own() -> None:
    lab = Lab()

    with pytest.raises(AssertionError, match="2b01"):
        lab.up(lab.host, inter.SaveChar(account_id=1, char_id=1, final=0, status=b"").pack())


def test_a_refusal_is_reported_with_its_reason() -> None:
    lab = Lab()

    effects = lab.up(lab.host, (0x3052).to_bytes(2, "little") + (CHAR + 2).to_bytes(4, "little") + bytes(4))

    assert kinds(effects) == ["refused"]
    assert not ups(effects)
