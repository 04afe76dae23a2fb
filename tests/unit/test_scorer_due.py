"""What time makes due on hosts: refill, rebalance, idle; and no flapping (DESIGN D9, section 8)."""

from typing import Any

import pytest

from libs.events import Basis, Event, MapAssign
from services.scorer.index import SLICES
from tests.unit import hosting_oracle as oracle
from tests.unit.builders import EU, T0, assign, ban, census, enter, host_down, host_up, moved, rules
from tests.unit.hosting_town import ROUND_MS, Town, turn_of

FULL = rules(failover={"backup_hosts_count": 0, "warm_backups": 0})
"""No backups: nothing to refill."""


def rebalance(**values: Any) -> Any:
    return rules(failover={"backup_hosts_count": 0, "warm_backups": 0}, rebalance=values)


def uneven(**values: Any) -> list[Event]:
    """m1 with a player on a host that another beats by far; values: of the assignment."""
    return [host_up("slow", net_mbps=100), host_up("fast", net_mbps=1000), assign(host="slow", **values), census(eu=1)]


def test_missing_backups_are_filled_in_the_same_tenure() -> None:
    town = Town(host_up("h1"), host_up("h2"), host_up("h3"), assign(host="h1", backups=["h2"]), census(eu=1))

    (filled,) = town.turn("m1", after_s=10)

    assert (filled.host, filled.backups, filled.reason, filled.tenure, filled.since_ms) == ("h1", ["h2", "h3"], "refill", 1, T0)


@pytest.mark.parametrize("interval_s", [5, 10, 60])
def test_refill_interval_s_passes_between_two_writes_of_a_map(interval_s: int) -> None:
    words = host_up("h1"), host_up("h2"), assign(host="h1"), census(eu=1)
    town = Town(*words, settings=rules(failover={"refill_interval_s": interval_s}))
    due_ms = turn_of("m1", T0 + interval_s * 1000)

    assert [town.scored(due_ms - n * ROUND_MS, tick=True) for n in (1, 2)] == [[], []]
    assert len(town.scored(due_ms, tick=True)) == 1


def test_only_in_its_turn_a_map_is_refilled_and_its_turn_comes_whatever_the_tick() -> None:
    names = {f"m{number}" for number in range(20)}
    town = Town(host_up("h1", slots=50), host_up("h2", slots=50), *(assign(name, "h1") for name in names))

    for step_ms in (250, 300, 500, 1000):
        times = range(T0 + 20_000, T0 + 20_000 + 2 * SLICES * step_ms, step_ms)
        refilled = [decision.map for at_ms in times for decision in town.scored(at_ms, tick=True)]
        assert set(refilled) == names
        assert len(refilled) <= 3 * len(names)


BAD: dict[str, list[Event]] = {
    "down": [host_down("bad")],
    "banned": [ban("bad")],
    "untrusted": [host_up("bad", trust=0)],
    "failed": [host_up("bad", failed_maps=["m1"])],
    "cooling": [assign(host="h1", backups=["bad", "h2"], cooling={"bad": T0 + 3_600_000})],
}


@pytest.mark.parametrize("why", BAD)
def test_a_backup_that_could_not_take_over_is_replaced(why: str) -> None:
    town = Town(host_up("h1"), host_up("bad"), host_up("h2"), host_up("h3"), assign(host="h1", backups=["bad", "h2"]))
    town.say(*BAD[why])

    (filled,) = town.turn("m1", after_s=10)

    assert filled.backups == ["h2", "h3"]


def test_nothing_is_written_where_no_better_backups_can_be_had() -> None:
    assert Town(host_up("h1"), assign(host="h1")).turn("m1", 10) == []
    assert Town(host_up("h1"), host_up("h2"), assign(host="h1", backups=["h2"])).turn("m1", 10) == []


def test_a_cold_backup_that_turns_warm_needs_a_free_slot() -> None:
    crowd = assign("m2", "h3"), assign("m1", "h1", ["h2", "h3"])
    town = Town(host_up("h1"), host_up("h2"), host_up("h3", slots=1), host_up("h4"), *crowd, host_down("h2"))

    (filled,) = (decision for decision in town.turn("m1", 10) if decision.map == "m1")

    assert filled.backups == ["h4"]


def test_backups_beyond_a_lowered_count_are_let_go() -> None:
    words = host_up("h1"), host_up("h2"), host_up("h3"), assign(host="h1", backups=["h2", "h3"])

    (filled,) = Town(*words, settings=rules(failover={"backup_hosts_count": 1})).turn("m1", 10)

    assert filled.backups == ["h2"]


def test_a_clearly_better_host_takes_a_map_over() -> None:
    (better,) = Town(*uneven(), settings=FULL).turn("m1", after_s=300)

    assert (better.host, better.reason, better.tenure) == ("fast", "rebalance", None)


def test_threshold_says_how_much_better() -> None:
    slow, fast = (oracle.score(host_up(net_mbps=speed), {EU: 1}, 0, FULL) for speed in (100, 1000))
    ratio = fast / slow

    assert Town(*uneven(), settings=rebalance(threshold=round(ratio - 0.001, 4))).turn("m1", 300)
    assert not Town(*uneven(), settings=rebalance(threshold=round(ratio + 0.001, 4))).turn("m1", 300)


def test_min_dwell_s_is_how_long_a_map_stays_at_least() -> None:
    settings = rebalance(min_dwell_s=1000, cool_down_s=0)

    assert not Town(*uneven(), settings=settings).turn("m1", after_s=980)
    assert Town(*uneven(), settings=settings).turn("m1", after_s=1000)


def test_cool_down_s_is_how_long_a_map_rests_after_any_write() -> None:
    settings = rebalance(min_dwell_s=0, cool_down_s=500)
    refilled = {"tenure": 1, "since_ms": T0 - 9_000_000, "reason": "refill"}

    assert not Town(*uneven(**refilled), settings=settings).turn("m1", after_s=480)
    assert Town(*uneven(**refilled), settings=settings).turn("m1", after_s=500)


def test_a_map_without_players_is_not_worth_a_move() -> None:
    assert not Town(*uneven(), census(), settings=rebalance(idle_after_s=86400)).turn("m1", after_s=300)


@pytest.mark.parametrize("slices", [1, SLICES])
@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_max_moves_per_minute_holds_for_all_maps_together(allowed: int, slices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scorer.index.SLICES", slices)
    settings = rebalance(max_moves_per_minute=allowed)
    town = Town(host_up("slow", net_mbps=100, slots=9), host_up("fast", net_mbps=1000, slots=9), settings=settings)
    town.say(*(assign(f"m{n}", "slow") for n in range(6)), *(census(f"m{n}", eu=1) for n in range(6)))

    moves = run(town, T0 + 300_000, 59_000)

    assert len(moves) == allowed
    assert len(run(town, T0 + 361_000, 58_000)) == allowed


def run(town: Town, from_ms: int, span_ms: int) -> list[MapAssign]:
    """Every decision at the ticks of this time, applied."""
    decided = []
    for at_ms in range(from_ms, from_ms + span_ms, 250):
        decisions = town.scored(at_ms, tick=True)
        town.say(*decisions)
        decided += decisions
    return decided


def test_a_refill_does_not_hide_a_move_from_the_rate() -> None:
    moved_lately = {"tenure": 1, "reason": "refill", "at_ms": T0 + 300_000, "since_ms": T0 + 290_000}
    town = Town(*uneven(), settings=rebalance(max_moves_per_minute=1))
    assert town.turn("m1", 300)

    town.say(assign("m2", "fast", **moved_lately))

    assert not town.turn("m1", 300)


def test_a_move_is_not_taken_back_when_nothing_else_changed() -> None:
    town = Town(*uneven(), settings=rebalance(min_dwell_s=0, cool_down_s=0))

    assert [decision.host for decision in run(town, T0 + 1000, 5 * ROUND_MS)] == ["fast"]


def test_a_full_warm_backup_may_become_the_primary_of_its_own_map() -> None:
    words = host_up("slow", net_mbps=100), host_up("fast", net_mbps=1000, slots=1), assign(host="slow", backups=["fast"])
    town = Town(*words, census(eu=1), settings=rules(failover={"backup_hosts_count": 1}))

    (better,) = town.turn("m1", 300)

    assert (better.host, better.reason) == ("fast", "rebalance")


@pytest.mark.parametrize("idle_s", [30, 300])
def test_idle_after_s_without_players_a_map_goes_home_to_the_vps(idle_s: int) -> None:
    settings = rebalance(idle_after_s=idle_s)
    last_player = census(at_ms=T0 + 60_000)
    town = Town(host_up("h1"), assign(host="h1"), last_player, settings=settings)

    assert not town.scored(turn_of("m1", T0 + 60_000 + idle_s * 1000) - ROUND_MS, tick=True)
    (home,) = town.turn("m1", 60 + idle_s)
    assert (home.kind, home.reason, home.backups) == ("vps", "idle", [])


def test_an_enter_keeps_a_map_from_going_idle() -> None:
    pending = Town(host_up("h1"), assign(host="h1"), census(), enter())

    assert pending.turn("m1", 99999) == []


def test_a_short_visit_counts_though_no_census_saw_it() -> None:
    visit = enter(at_ms=T0 + 100_000), assign(host="h1", basis=Basis(0, 1, 0))
    town = Town(host_up("h1"), *visit, settings=rebalance(idle_after_s=300))

    assert not town.turn("m1", 350)
    assert town.turn("m1", 400)


def test_maps_refilled_in_one_look_share_the_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scorer.index.SLICES", 1)
    settings = rules(failover={"backup_hosts_count": 1})
    town = Town(host_up("h1"), host_up("h2", slots=1), assign("m1", "h1"), assign("m2", "h1"), settings=settings)

    assert [(filled.map, filled.backups) for filled in town.scored(T0 + 10_000, tick=True)] == [("m1", ["h2"])]


def test_backups_turned_warm_in_one_look_share_the_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scorer.index.SLICES", 1)
    both = {"backups": ["gone", "h2"]}
    town = Town(host_up("h1"), host_up("h2", slots=1), assign("m1", "h1", **both), assign("m2", "h1", **both))

    assert [(one.map, one.backups) for one in town.scored(T0 + 10_000, tick=True)] == [("m1", ["h2"]), ("m2", [])]


def test_a_map_is_decided_once_a_look_though_several_things_are_due() -> None:
    at_ms = turn_of("m1", T0 + 400_000)
    town = Town(host_up("h1", slots=0), host_up("h2"), assign("m1", "h1"))

    assert [(one.map, one.reason) for one in town.scored(at_ms, tick=True)] == [("m1", "rebalance")]


def test_a_map_whose_assignment_broke_is_not_the_scorers() -> None:
    broken = [host_down("h1")], [ban("h1")], [moved(tenure=1, outcome="vps")], [host_up("h1", failed_maps=["m1"])]
    for words in broken:
        town = Town(host_up("h1"), host_up("h2", net_mbps=1000), assign(host="h1"), census(), *words)
        assert town.turn("m1", 99999) == [], words
