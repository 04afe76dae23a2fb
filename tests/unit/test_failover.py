"""Failover gives every map of a lost host to its best ready backup, else to the VPS (DESIGN D3, sections 7 and 8)."""

from typing import Any

import pytest

from libs.events import Cause, Event, Fact, MapAssign, Stream
from services.failover.core import Failover
from tests.unit.builders import T0, assign, ban, drain, enter, host_down, host_up, moved, rules, verdict
from tests.unit.hosting_town import Town, look_of

MAPS = [f"m{number}" for number in range(40)]
NO_VPS = rules(general={"enable_vps_fallback": 0}, rebalance={"cool_down_s": 1})


def ready(host: str, **values: Any) -> Event:
    return host_up(host, **{"ready_maps": MAPS, "slots": 50, **values})


def one(decisions: list[MapAssign]) -> MapAssign:
    assert len(decisions) == 1
    return decisions[0]


def heir(*words: Event, backups: tuple[str, ...] = ("h2", "h3"), **groups: Any) -> MapAssign:
    """What becomes of m1, served by h1, once h1 has gone silent. words: said before that."""
    town = Town(host_up("h1"), ready("h2"), ready("h3"), *words, settings=rules(**groups))
    town.say(assign("m1", "h1", backups), host_down("h1"))
    return one(town.failed())


def test_every_map_of_a_lost_host_gets_another_owner_in_one_look() -> None:
    town = Town(ready("h1"), ready("h2", slots=10), ready("h3", slots=10), ready("h4"))
    town.say(*(assign(name, "h1", ["h2", "h3"]) for name in MAPS), assign("m99", "h4"), host_down("h1"))

    decisions = town.failed()

    assert sorted(decision.map for decision in decisions) == sorted(MAPS)
    assert all(decision.host != "h1" and "h1" not in decision.backups for decision in decisions)
    town.say(*decisions)
    assert town.failed() == []
    assert town.world.serving["h1"] == set()


def test_the_first_backup_takes_over_and_the_others_stay() -> None:
    taken = heir()

    assert (taken.kind, taken.host, taken.backups, taken.reason) == ("p2p", "h2", ["h3"], "failover")
    assert (taken.tenure, taken.since_ms, taken.refused) == (None, T0, {"host_down": 1})


UNFIT: dict[str, list[Event]] = {
    "down": [host_down("h2")],
    "draining": [drain("h2")],
    "blacklisted": [verdict("h2", T0 + 1)],
    "untrusted": [ready("h2", trust=0.1)],
    "unreachable": [ready("h2", reach="none")],
    "failed_map": [ready("h2", failed_maps=["m1"])],
    "not_ready": [ready("h2", ready_maps=["m2"])],
}


@pytest.mark.parametrize("gate", UNFIT)
def test_a_backup_that_may_not_or_cannot_take_over_is_passed_by(gate: str) -> None:
    taken = heir(*UNFIT[gate])

    assert taken.host == "h3"
    assert taken.refused == {"host_down": 1, gate: 1}
    assert taken.backups == (["h2"] if gate == "not_ready" else [])


def test_a_backup_that_cools_for_the_map_is_passed_by() -> None:
    town = Town(host_up("h1"), ready("h2"), ready("h3"))
    town.say(assign("m1", "h1", ["h2", "h3"], cooling={"h2": T0 + 1000}), host_down("h1"))

    assert one(town.failed(T0 + 999)).host == "h3"
    assert one(town.failed(T0 + 1000)).host == "h2"


def test_with_no_backup_ready_the_map_goes_to_the_vps() -> None:
    fallen = heir(ready("h2", ready_maps=[]), host_down("h3"))

    assert (fallen.kind, fallen.host, fallen.backups, fallen.reason) == ("vps", None, [], "failover")
    assert fallen.refused == {"host_down": 1, "not_ready": 1, "down": 1}


def test_a_warm_backup_takes_over_on_its_own_slot_and_a_cold_one_needs_a_free_one() -> None:
    full = ready("h2", slots=1), ready("h3", slots=1), assign("m5", "h3")

    assert heir(*full).host == "h2"
    assert heir(*full, backups=("h3", "h2"), failover={"warm_backups": 0}).host == "h2"
    cold = heir(*full, host_down("h2"))
    assert (cold.host, cold.refused) == (None, {"host_down": 1, "down": 1, "full": 1})


def test_a_backup_that_turns_warm_needs_a_free_slot_too() -> None:
    assert heir().backups == ["h3"]
    assert heir(ready("h3", slots=1), assign("m5", "h3")).backups == []
    assert heir(ready("h3", slots=1), assign("m5", "h3"), failover={"warm_backups": 0}).backups == ["h3"]


def test_two_maps_do_not_take_the_same_last_slot() -> None:
    town = Town(host_up("h1"), ready("h2", slots=1), settings=rules(failover={"warm_backups": 0}))
    town.say(assign("m1", "h1", ["h2"]), assign("m2", "h1", ["h2"]), host_down("h1"))

    assert [(lost.map, lost.host) for lost in town.failed()] == [("m1", "h2"), ("m2", None)]


BROKEN: dict[str, tuple[Event, Cause, str]] = {
    "host_down": (host_down("h1"), Cause(stream="HOSTS", seq=3), "failover"),
    "blacklisted": (ban("h1"), Cause(stream="HOSTS", seq=3), "failover"),
    "failed_map": (host_up("h1", failed_maps=["m1"]), Cause(stream="HOSTS", seq=3), "failover"),
    "draining": (drain("h1"), Cause(stream="HOSTS", seq=3), "drain"),
    "move_failed": (moved("m1", tenure=1, outcome="rolled_back"), Cause(stream="MAPS", seq=1), "failover"),
}


@pytest.mark.parametrize("why", BROKEN)
def test_each_way_to_lose_a_server_moves_that_map_and_says_why(why: str) -> None:
    word, cause, reason = BROKEN[why]
    town = Town(host_up("h1"), ready("h2"), assign("m1", "h1", ["h2"]))
    assert town.failed() == []

    town.say(word)

    lost = one(town.failed())
    assert (lost.host, lost.reason, lost.cause, lost.refused) == ("h2", reason, cause, {why: 1})


def test_a_map_that_failed_moves_alone() -> None:
    town = Town(host_up("h1"), ready("h2"), assign("m1", "h1", ["h2"]), assign("m2", "h1", ["h2"]))

    town.say(host_up("h1", failed_maps=["m2"]))

    assert one(town.failed()).map == "m2"


@pytest.mark.parametrize(
    ("word", "cools"),
    [
        (host_down("h1", "silent"), True),
        (host_down("h1", "lost"), True),
        (host_down("h1", "unfit"), True),
        (host_down("h1", "left"), False),
        (host_down("h1", "drained"), False),
        (ban("h1"), True),
        (host_up("h1", failed_maps=["m1"]), True),
        (moved("m1", tenure=1, outcome="vps"), True),
        (drain("h1"), False),
    ],
)
def test_a_host_that_failed_a_map_cools_for_it_and_one_that_said_goodbye_does_not(word: Event, cools: bool) -> None:
    town = Town(host_up("h1"), assign("m1", "h1"), word, settings=rules(rebalance={"cool_down_s": 7}))

    assert one(town.failed()).cooling == ({"h1": T0 + 7000} if cools else {})


def test_a_map_no_longer_eligible_goes_to_the_vps_though_a_backup_is_ready() -> None:
    town = Town(host_up("h1"), ready("h2"), assign("m1", "h1", ["h2"]), settings=rules(general={"enable_p2p_maps": 0}))

    home = one(town.failed())

    assert (home.kind, home.refused, home.cooling) == ("vps", {"map_not_eligible": 1}, {})
    assert home.cause == Cause(stream="ASSIGNMENTS", seq=1)


def test_enable_auto_migration_off_sends_the_maps_of_a_lost_host_to_the_vps() -> None:
    assert heir(general={"enable_auto_migration": 0}).kind == "vps"


def test_without_the_vps_any_open_host_takes_a_lost_map_though_cold() -> None:
    town = Town(host_up("h1"), host_up("h2", slots=3), settings=NO_VPS)
    town.say(*(assign(name, "h1") for name in MAPS[:5]), host_down("h1"))

    decisions = town.failed()

    assert [(lost.map, lost.host) for lost in decisions] == [("m0", "h2"), ("m1", "h2"), ("m2", "h2")]
    assert all(lost.candidates and lost.cooling for lost in decisions)
    town.say(*decisions)
    assert town.failed() == []


def test_without_the_vps_a_ready_backup_goes_before_a_better_host_and_keeps_its_slot() -> None:
    town = Town(host_up("h1"), ready("h2", slots=1, net_mbps=100), ready("h3", slots=1), settings=NO_VPS)
    town.say(assign("m1", "h1"), assign("m2", "h1", ["h2"]), host_down("h1"))

    assert [(lost.map, lost.host) for lost in town.failed()] == [("m1", "h3"), ("m2", "h2")]


def test_without_the_vps_a_map_waits_until_an_exclusion_ends() -> None:
    town = Town(
        host_up("h1"), host_up("h2"), ban("h2", until_ms=T0 + 500), assign("m1", "h1"), host_down("h1"), settings=NO_VPS
    )
    assert town.failed(T0 + 499, tick=True) == []

    found = one(town.failed(T0 + 500, tick=True))

    assert (found.host, found.cause) == ("h2", Cause(tick_ms=T0 + 500))


def test_with_the_vps_a_tick_has_nothing_to_do() -> None:
    town = Town(host_up("h1"), assign("m1", "h1"), host_down("h1"))

    assert town.failed(tick=True) == []
    assert len(town.failed()) == 1


def test_an_exclusion_that_is_over_breaks_nothing_but_does_for_an_earlier_look() -> None:
    town = Town(host_up("h1"), assign("m1", "h1"), ban("h1", until_ms=T0 + 1000))

    assert town.failed(T0 + 1000) == []
    assert len(town.failed(T0 + 999)) == 1


def test_maps_of_others_and_maps_of_nobody_are_left_alone() -> None:
    town = Town(host_up("h1"), assign("m1", "h1"), assign("m2", None), enter("m3"), moved("m2", tenure=2, outcome="vps"))

    assert town.failed() == []


def test_a_host_that_came_back_in_time_keeps_its_maps() -> None:
    assert Town(host_up("h1"), assign("m1", "h1"), host_down("h1"), host_up("h1")).failed() == []


def test_hearing_an_old_fact_again_hides_nothing() -> None:
    town = Town(host_up("h1"), assign("m1", None), assign("m1", "h1"), host_down("h1"))
    again = Failover(town.settings)

    for fact in (*town.log.facts, Fact(Stream.ASSIGNMENTS, 1, assign("m1", None)), Fact(Stream.HOSTS, 1, host_up("h1"))):
        again.on_fact(fact)

    assert [lost.map for lost in again.decide(look_of(again))] == ["m1"]


def test_a_backup_that_became_ready_since_the_last_look_takes_over() -> None:
    town = Town(host_up("h1"), host_up("h2"), assign("m1", "h1", ["h2"]), host_down("h1"))
    assert one(town.failed()).host is None

    town.say(ready("h2"))

    assert one(town.failed()).host == "h2"


def test_what_decide_found_whole_is_found_broken_later() -> None:
    town = Town(host_up("h1"), assign("m1", "h1"))
    for word, broken in ((enter("m1"), 0), (host_down("h1"), 1), (host_up("h1"), 0), (drain("h1"), 1), (drain("h1", False), 0)):
        town.say(word)
        assert len(town.failed()) == broken, word
