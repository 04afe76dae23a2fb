"""Who may host, what may be hosted, and since when an assignment no longer holds. Every no has a name."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.config import Settings
from libs.events import HostId, HostMetrics, MapName
from libs.hosting import eligibility
from libs.hosting.eligibility import (
    Broken,
    Gate,
    MapList,
    accepted_spec,
    broken,
    disconnects_last_hour,
    map_gate,
    slots_for,
    standing_gate,
    unmet_requirements,
)
from libs.hosting.world import World
from tests.unit import hosting_oracle as oracle
from tests.unit.builders import (
    T0,
    Log,
    assign,
    ban,
    drain,
    histories,
    host_down,
    host_up,
    log_of,
    moved,
    repeatable,
    rules,
    spec,
    verdict,
)

RULES = rules()
NEEDS = RULES.host_requirements
JUST_FIT = spec(
    cpu_ghz=3.0, cpu_cores=4, free_ram_mb=8192, net_mbps=100, latency_ms=30, jitter_ms=15, packet_rate=100, region_rtt_ms={}
)
LIMITS = {
    "cpu_min_ghz": ("cpu_ghz", 2.99),
    "cpu_min_cores": ("cpu_cores", 3),
    "ram_min_mb": ("free_ram_mb", 8191.0),
    "net_min_speed": ("net_mbps", 99.9),
    "net_max_latency": ("latency_ms", 30.1),
    "max_jitter_ms": ("jitter_ms", 15.1),
    "min_packet_rate": ("packet_rate", 99.0),
}
"""Requirement -> the measured value it is about, and one that just misses it."""


def names(unmet: list[eligibility.Unmet]) -> list[str]:
    return [one.requirement for one in unmet]


def test_a_host_exactly_at_every_limit_is_fit() -> None:
    assert unmet_requirements(JUST_FIT, NEEDS.max_disconnects_per_hour, NEEDS) == []


@pytest.mark.parametrize("requirement", LIMITS)
def test_each_requirement_that_is_missed_is_named_and_no_other(requirement: str) -> None:
    measured, value = LIMITS[requirement]

    unmet = unmet_requirements(msgspec.structs.replace(JUST_FIT, **{measured: value}), 0, NEEDS)

    assert names(unmet) == [requirement]
    assert (unmet[0].value, unmet[0].allowed) == (value, getattr(NEEDS, requirement))


def test_one_disconnect_too_many_is_unmet() -> None:
    assert names(unmet_requirements(JUST_FIT, 2, NEEDS)) == ["max_disconnects_per_hour"]


def test_all_that_is_unmet_is_told() -> None:
    worst = spec(cpu_ghz=0, cpu_cores=0, free_ram_mb=0, net_mbps=0, latency_ms=999, jitter_ms=999, packet_rate=0)

    assert sorted(names(unmet_requirements(worst, 9, NEEDS))) == sorted([*LIMITS, "max_disconnects_per_hour"])


@pytest.mark.parametrize("requirement", LIMITS)
def test_every_requirement_of_the_configuration_has_its_effect(requirement: str) -> None:
    limit = getattr(NEEDS, requirement)
    stricter = rules(host_requirements={requirement: limit - 1 if requirement in eligibility.AT_MOST else limit + 1})

    assert requirement in names(unmet_requirements(JUST_FIT, 0, stricter.host_requirements))
    assert requirement not in names(unmet_requirements(JUST_FIT, 0, NEEDS))


@pytest.mark.parametrize(
    ("missed", "within"),
    [
        ({"net_mbps": 89.9}, {"net_mbps": 90.1}),
        ({"latency_ms": 33.1}, {"latency_ms": 32.9}),
        ({"cpu_cores": 3}, {"cpu_cores": 4}),
    ],
)
def test_a_host_that_is_up_may_miss_a_limit_by_the_slack(missed: dict[str, Any], within: dict[str, Any]) -> None:
    assert unmet_requirements(msgspec.structs.replace(JUST_FIT, **missed), 0, NEEDS, slack=0.1)
    assert not unmet_requirements(msgspec.structs.replace(JUST_FIT, **within), 0, NEEDS, slack=0.1)


def test_what_is_unmet_reads_as_a_sentence() -> None:
    unmet = unmet_requirements(spec(net_mbps=52.5, latency_ms=45), 0, NEEDS)

    assert list(map(str, unmet)) == ["net_min_speed: 52.5, needed at least 100", "net_max_latency: 45, needed at most 30"]


def heartbeat(**values: Any) -> HostMetrics:
    fields = {"account_id": 1, "at_ms": T0, "seq": 1, "address": None, "port": 0, "region": "eu", "maps": {}, "leaving": False}
    return HostMetrics(host=HostId("h1"), **{**fields, **values})


def test_what_is_unmeasured_counts_as_the_worst_allowed_and_is_met() -> None:
    accepted = accepted_spec(heartbeat(), NEEDS)

    assert accepted == JUST_FIT
    assert unmet_requirements(accepted, 0, NEEDS) == []


def test_what_is_measured_is_taken_as_it_is() -> None:
    values = {"cpu_ghz": 0.0, "cpu_cores": 0, "free_ram_mb": 1.0, "net_mbps": 2.0, "latency_ms": 0.0, "jitter_ms": 3.0}

    accepted = accepted_spec(heartbeat(**values, packet_rate=4.0, region_rtt_ms={"eu": 5.0, "us": None}), NEEDS)

    assert accepted == spec(**values, packet_rate=4.0, region_rtt_ms={"eu": 5.0})


def test_disconnects_count_for_an_hour() -> None:
    hour_ago = T0 - eligibility.HOUR_MS

    assert disconnects_last_hour([hour_ago - 1, hour_ago, hour_ago + 1, T0, T0 + 1], T0) == 2


@pytest.mark.parametrize(
    ("cores", "ram_mb", "running", "slots"),
    [(4, 99999, 0, 4), (64, 99999, 0, 16), (8, 1024, 0, 2), (8, 1023, 0, 1), (8, 0, 3, 3), (0, 9999, 0, 0), (8, 512, 1, 2)],
)
def test_slots_are_the_least_of_cores_memory_and_the_limit(cores: int, ram_mb: int, running: int, slots: int) -> None:
    assert slots_for(spec(cpu_cores=cores, free_ram_mb=ram_mb), running, NEEDS) == slots


@pytest.mark.parametrize(
    ("ram_mb", "now", "slots"),
    [(512 * 3.74, 4, 3), (512 * 3.75, 4, 4), (512 * 5.24, 4, 4), (512 * 5.25, 4, 5), (512 * 4, 4, 4), (512 * 9, 4, 9)],
)
def test_slots_stay_while_memory_wavers_by_a_quarter_slot(ram_mb: float, now: int, slots: int) -> None:
    assert slots_for(spec(cpu_cores=16, free_ram_mb=ram_mb), 0, NEEDS, now=now) == slots


def test_slots_above_a_lowered_limit_do_not_stay() -> None:
    lowered = rules(host_requirements={"slots_max": 3, "slots_per_core": 2.0, "slot_ram_mb": 1024}).host_requirements

    assert slots_for(spec(cpu_cores=8), 0, lowered, now=4) == 3
    assert slots_for(spec(cpu_cores=1), 0, lowered) == 2
    assert slots_for(spec(free_ram_mb=1024), 0, lowered) == 1


def test_a_map_may_be_hosted_if_it_is_eligible_and_not_in_never() -> None:
    lists = {"eligible": {"field": ["gef_fild*"], "dungeon": ["pay_dun0?"]}, "never": ["gef_fild10", "*01"]}
    maps = MapList(rules(maps=lists).maps)

    allowed = {
        name for name in ("gef_fild07", "gef_fild10", "gef_fild01", "pay_dun02", "pay_dun2", "prontera") if maps.allows(name)
    }

    assert allowed == {"gef_fild07", "pay_dun02"}


def test_patterns_match_whole_names_and_their_case() -> None:
    maps = MapList(rules(maps={"eligible": {"field": ["abc"]}, "never": []}).maps)

    assert [maps.allows(name) for name in ("abc", "abcd", "xabc", "ABC", "ab")] == [True, False, False, False, False]
    assert not MapList(rules(maps={"eligible": {"field": []}, "never": []}).maps).allows("town")


def test_made_up_names_cost_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eligibility, "NAMES_REMEMBERED_MAX", 10)
    maps = MapList(RULES.maps)

    assert all(maps.allows(f"m{number}") for number in range(35))

    assert len(maps._known) <= 10


def gate_of(*said: Any, settings: Settings = RULES, at_ms: int = T0) -> Gate | None:
    return standing_gate(folded(log_of(said)).host(HostId("h1")), settings, at_ms)


def folded(log: Log) -> World:
    world = World()
    for fact in log.facts:
        world.apply(fact)
    return world


def test_a_fit_host_passes_every_gate() -> None:
    assert gate_of(host_up()) is None
    assert gate_of(host_up(trust=0.2)) is None


def test_each_gate_names_itself_and_the_first_of_several_speaks() -> None:
    bad = {"trust": 0.1, "reach": "none"}

    assert gate_of(host_up(**bad), drain(), ban()) is Gate.DRAINING
    assert gate_of(host_up(**bad, draining=True)) is Gate.DRAINING
    assert gate_of(host_up(**bad), ban()) is Gate.EXCLUDED
    assert gate_of(host_up(**bad), verdict(blacklisted_until_ms=T0 + 1)) is Gate.EXCLUDED
    assert gate_of(host_up(**bad)) is Gate.UNTRUSTED
    assert gate_of(host_up(reach="none")) is Gate.UNREACHABLE


def test_a_host_never_checked_is_not_trusted_even_if_no_trust_is_asked() -> None:
    lax = rules(security={"trust_min": 0.0})

    assert gate_of(host_up(trust=0.0), settings=lax) is Gate.UNTRUSTED
    assert gate_of(host_up(trust=0.01), settings=lax) is None


def test_enable_p2p_security_checks_off_trusts_everybody() -> None:
    assert gate_of(host_up(trust=0.0), settings=rules(general={"enable_p2p_security_checks": 0})) is None


def test_reach_is_asked_only_where_relays_are_configured() -> None:
    assert gate_of(host_up(reach="none"), settings=rules(regions={})) is None
    assert gate_of(host_up(reach="dialback")) is None


def test_a_map_that_failed_or_cools_on_a_host_is_kept_from_it_alone() -> None:
    host = folded(log_of([host_up(failed_maps=["m1"])])).host(HostId("h1"))
    m1, m2, h1 = MapName("m1"), MapName("m2"), HostId("h1")

    assert map_gate(host, m1, {h1: T0 + 1}, T0) is Gate.FAILED_MAP
    assert map_gate(host, m2, {h1: T0 + 1}, T0) is Gate.COOLING
    assert map_gate(host, m2, {h1: T0}, T0) is None
    assert map_gate(host, m2, {HostId("h2"): T0 + 1}, T0) is None


def why(*said: Any, allowed: bool = True, at_ms: int = T0) -> Broken | None:
    world = folded(log_of(said))
    return broken(world, world.map(MapName("m1")), allowed, at_ms)


def test_an_assignment_holds_while_its_host_is_well() -> None:
    assert why(host_up(), assign()) is None
    assert why(host_up(), assign(), moved(tenure=1)) is None
    assert why(host_up(), assign(), ban(until_ms=T0)) is None
    assert why(assign(host=None), allowed=False) is None
    assert why() is None


def test_each_way_an_assignment_breaks_has_its_name() -> None:
    assert why(assign()) is Broken.HOST_DOWN
    assert why(host_up(), assign(), host_down()) is Broken.HOST_DOWN
    assert why(host_up(), assign(), ban()) is Broken.BLACKLISTED
    assert why(host_up(failed_maps=["m1"]), assign()) is Broken.FAILED_MAP
    assert why(host_up(), assign(), moved(tenure=1, outcome="rolled_back")) is Broken.MOVE_FAILED
    assert why(host_up(), assign(), moved(tenure=1, outcome="vps")) is Broken.MOVE_FAILED
    assert why(host_up(), assign(), allowed=False) is Broken.MAP_NOT_ELIGIBLE
    assert why(host_up(), assign(), drain()) is Broken.DRAINING


def test_a_failure_is_named_before_an_orderly_reason() -> None:
    failed = moved(tenure=1, outcome="vps")

    assert why(host_up(), assign(), failed, drain(), allowed=False) is Broken.MOVE_FAILED
    assert why(host_up(), assign(), drain(), allowed=False) is Broken.MAP_NOT_ELIGIBLE


def test_low_trust_alone_breaks_nothing() -> None:
    assert why(host_up(), assign(), host_up(trust=0.0)) is None


@repeatable
@given(histories, st.integers(T0 - 1, T0 + 3001), st.booleans())
def test_broken_is_the_designs_definition_of_not_valid(log: Log, at_ms: int, allowed: bool) -> None:
    world = folded(log)

    for state in world.maps.values():
        expected = oracle.breakage(world, RULES, replace(state), at_ms, allowed)
        assert (broken(world, state, allowed, at_ms) is not None) == expected
