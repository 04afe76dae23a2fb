"""The scorer gives maps their servers: enter, promote, what is above a host's slots (DESIGN D3, D14, sections 6 and 8)."""

from typing import Any

import pytest

from libs.events import Cause, Event
from libs.hosting.score import PPM
from tests.unit import hosting_oracle as oracle
from tests.unit.builders import EU, T0, US, assign, ban, census, drain, enter, host_down, host_up, rules, verdict
from tests.unit.hosting_oracle import Wish
from tests.unit.hosting_town import Town

GOOD = host_up("good", net_mbps=900)
FAIR = host_up("fair", net_mbps=600)
POOR = host_up("poor", net_mbps=300)


def one(decisions: list[Any]) -> Any:
    assert len(decisions) == 1
    return decisions[0]


def test_a_map_somebody_enters_goes_to_the_best_host_with_the_next_best_as_backups() -> None:
    town = Town(POOR, GOOD, FAIR, enter("m1"))

    given = one(town.scored())

    assert (given.map, given.kind, given.host, given.backups, given.reason) == ("m1", "p2p", "good", ["fair", "poor"], "enter")
    assert (given.tenure, given.since_ms, given.at_ms) == (None, T0, T0)
    assert given.cause == Cause(stream="MAPS", seq=1)
    assert [candidate.host for candidate in given.candidates] == ["good", "fair", "poor"]


def test_the_choice_is_the_brute_force_one_for_the_players_there_are() -> None:
    near_us = host_up("near-us", region_rtt_ms={EU: 90, US: 1})
    near_eu = host_up("near-eu", region_rtt_ms={EU: 1, US: 90})
    town = Town(near_us, near_eu, census("m1", us=2), enter("m1", "eu"), enter("m2", "eu"))

    given = {decision.map: decision for decision in town.scored()}

    assert {name: decision.host for name, decision in given.items()} == {"m1": "near-us", "m2": "near-eu"}
    expected = oracle.choice(town.world, town.settings, Wish("m1", {EU: 1, US: 2}, {}, T0), 2)
    assert expected == (["near-us", "near-eu"], round(given["m1"].score * PPM))


def test_prefer_low_latency_off_makes_the_faster_host_win_over_the_nearer() -> None:
    words = host_up("near", region_rtt_ms={EU: 1}), host_up("fast", net_mbps=900, region_rtt_ms={EU: 90}), enter()

    assert one(Town(*words).scored()).host == "near"
    assert one(Town(*words, settings=rules(general={"prefer_low_latency": 0})).scored()).host == "fast"


@pytest.mark.parametrize("name", ["town", "mvp1"])
def test_a_map_that_is_not_eligible_or_never_is_the_vps_s(name: str) -> None:
    given = one(Town(GOOD, enter(name)).scored())

    assert (given.kind, given.host, given.backups, given.refused) == ("vps", None, [], {"map_not_eligible": 1})


def test_enable_p2p_maps_off_gives_every_map_to_the_vps() -> None:
    town = Town(GOOD, enter("m1"), settings=rules(general={"enable_p2p_maps": 0}))

    assert one(town.scored()).kind == "vps"


UNFIT: dict[str, list[Event]] = {
    "draining": [host_up("bad", net_mbps=999), drain("bad")],
    "blacklisted": [host_up("bad", net_mbps=999), verdict("bad", blacklisted_until_ms=T0 + 1)],
    "untrusted": [host_up("bad", net_mbps=999, trust=0.19)],
    "unreachable": [host_up("bad", net_mbps=999, reach="none")],
    "full": [host_up("bad", net_mbps=999, slots=1), assign("m9", "bad")],
    "failed_map": [host_up("bad", net_mbps=999, failed_maps=["m1"])],
    "down": [host_up("bad", net_mbps=999), host_down("bad")],
}


@pytest.mark.parametrize("gate", UNFIT)
def test_a_better_host_behind_a_gate_neither_serves_nor_backs_a_map(gate: str) -> None:
    given = one(Town(POOR, *UNFIT[gate], enter("m1")).scored())

    assert (given.host, given.backups) == ("poor", [])
    assert given.refused == ({gate: 1} if gate != "down" else {})


@pytest.mark.parametrize("gate", UNFIT)
def test_with_no_other_host_the_vps_serves_and_the_gate_is_named(gate: str) -> None:
    given = one(Town(*UNFIT[gate], enter("m1")).scored())

    assert (given.kind, given.refused) == ("vps", {gate: 1} if gate != "down" else {})


def test_a_host_that_failed_a_map_cools_for_that_map_alone() -> None:
    cooled = {"host": None, "reason": "failover", "cooling": {"good": T0 + 1000}}
    town = Town(GOOD, assign("m1", **cooled), census("m1", eu=1), enter("m2"))

    assert one(town.scored()).host == "good"
    assert town.scored(T0 + 999, tick=True) == []
    assert one(town.scored(T0 + 1000, tick=True)).host == "good"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_backup_hosts_count_says_how_many_backups_a_map_gets(count: int) -> None:
    settings = rules(failover={"backup_hosts_count": count, "warm_backups": 0})
    town = Town(*(host_up(f"h{number}") for number in range(9)), enter(), settings=settings)

    assert len(one(town.scored()).backups) == count


@pytest.mark.parametrize(("warm", "hosted"), [(0, 4), (1, 2), (2, 1)])
def test_warm_backups_take_slots_and_cold_ones_do_not(warm: int, hosted: int) -> None:
    settings = rules(failover={"warm_backups": warm})
    maps = [enter(f"m{number}") for number in range(6)]
    town = Town(*(host_up(f"h{n}", slots=1) for n in range(4)), *maps, settings=settings)

    given = town.scored()

    assert sum(decision.kind == "p2p" and len(decision.backups) >= warm for decision in given) == hosted
    town.say(*given)
    assert all(town.used(f"h{n}") <= 1 for n in range(4))


def test_maps_of_one_look_share_the_slots_and_who_came_first_chooses_first() -> None:
    settings = rules(failover={"backup_hosts_count": 0, "warm_backups": 0})
    town = Town(host_up(slots=2), enter("m3"), enter("m1"), enter("m2"), settings=settings)

    assert [(given.map, given.host) for given in town.scored()] == [("m3", "h1"), ("m1", "h1"), ("m2", None)]


def test_a_map_with_an_assignment_is_not_given_again_and_an_empty_one_not_at_all() -> None:
    assert Town(GOOD, enter(), assign(host="good")).scored() == []
    assert Town(GOOD, enter(), census()).scored() == []
    assert Town(GOOD, enter(), assign(host=None)).scored() == []


def test_without_the_vps_a_map_waits_for_a_host() -> None:
    town = Town(enter("m1"), enter("town"), settings=rules(general={"enable_vps_fallback": 0}))
    assert [given.map for given in town.scored()] == ["town"]

    town.say(host_up(), ban("h1", until_ms=T0 + 1000))
    assert "m1" not in [given.map for given in town.settle()]

    assert [(given.map, given.host) for given in town.scored(T0 + 1000, tick=True)] == [("m1", "h1")]


def test_maps_with_players_return_from_the_vps_the_fullest_first() -> None:
    town = Town(*(assign(f"m{n}", None) for n in range(5)), census("m1", eu=1), census("m2", eu=5), census("m3", us=2))
    assert town.scored(tick=True) == []

    town.say(host_up(slots=2))
    given = town.scored(tick=True)

    assert [(one.map, one.host, one.reason) for one in given] == [("m2", "h1", "promote"), ("m3", "h1", "promote")]
    assert given[0].cause == Cause(tick_ms=T0)
    assert town.scored() == []


def test_maps_that_are_not_eligible_stay_on_the_vps() -> None:
    assert Town(GOOD, assign("town", None), census("town", eu=1)).scored(tick=True) == []


@pytest.mark.parametrize(("reason", "returns"), [("failover", False), ("drain", False), ("enter", True), ("idle", True)])
def test_enable_auto_migration_off_leaves_the_maps_of_lost_hosts_on_the_vps(reason: str, returns: bool) -> None:
    words = GOOD, assign(host=None, reason=reason), census(eu=1)

    assert len(Town(*words).scored(tick=True)) == 1
    assert bool(Town(*words, settings=rules(general={"enable_auto_migration": 0})).scored(tick=True)) is returns


def test_the_latest_maps_above_a_hosts_slots_are_taken_back() -> None:
    crowd = [assign(f"m{number}", "h1") for number in (3, 1, 2)]
    town = Town(host_up("h1", slots=2), host_up("h2", net_mbps=100), *crowd)

    taken = one(town.scored(tick=True))

    assert (taken.map, taken.host, taken.reason, taken.tenure) == ("m2", "h2", "rebalance", None)


def test_what_no_other_host_can_take_goes_to_the_vps_or_stays_where_there_is_none() -> None:
    words = host_up("h1", slots=1), assign("m1", "h1"), assign("m2", "h1")

    assert [(taken.map, taken.kind) for taken in Town(*words).scored(tick=True)] == [("m2", "vps")]
    assert Town(*words, settings=rules(general={"enable_vps_fallback": 0})).scored(tick=True) == []


def test_a_warm_backup_above_a_hosts_slots_is_replaced_in_the_same_tenure() -> None:
    town = Town(host_up("h1"), host_up("h2", slots=1), host_up("h3"), assign("m1", "h2"), assign("m2", "h1", ["h2"]))

    taken = one(town.scored(T0 + 5, tick=True))

    assert (taken.map, taken.host, taken.backups, taken.reason) == ("m2", "h1", ["h3"], "refill")
    assert (taken.tenure, taken.since_ms) == (2, T0)


def test_a_map_taken_back_may_go_to_its_own_warm_backup_though_that_host_is_full() -> None:
    crowd = assign("m1", "h1"), assign("m2", "h1", ["h2"])
    town = Town(host_up("h1", slots=1), host_up("h2", slots=1), *crowd)

    assert one(town.scored(tick=True)).host == "h2"


def test_the_slot_its_warm_backup_held_is_not_counted_twice() -> None:
    crowd = assign("m1", "h1"), assign("m2", "h1", ["h2"])
    waiting = assign("m3", None), census("m3", eu=1)
    town = Town(host_up("h1", slots=1), host_up("h2", slots=2), *crowd, *waiting)

    assert [(one.map, one.host) for one in town.scored(tick=True)] == [("m2", "h2"), ("m3", "h2")]


def test_a_crowded_host_that_is_lost_is_left_to_failover() -> None:
    town = Town(host_up("h1", slots=0), host_up("h2"), assign("m1", "h1"), drain("h1"))

    assert town.scored(tick=True) == []
    assert [lost.map for lost in town.failed()] == ["m1"]
