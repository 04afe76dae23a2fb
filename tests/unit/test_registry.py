"""services/registry: who is up and what with, who is down for other reasons than death, what is ordered."""

from typing import Any

import pytest

from libs.events import HostId, Region
from tests.unit.builders import T0, assign, ban, drain, host_down, host_up, verdict
from tests.unit.registry_bench import (
    BUSY_MS,
    Bench,
    report,
)

# Up, and unfit by each requirement.


def test_a_fit_host_that_beats_is_up_once() -> None:
    bench = Bench()

    bench.beat_for(3_000, "h1")

    assert [up.host for up in bench.ups] == ["h1"]
    assert bench.written[0].scope == "host.*.h1"
    assert bench.written[0].expected == 0


@pytest.mark.parametrize(
    ("requirement", "measured"),
    [
        ("cpu_min_ghz", {"cpu_ghz": 2.0}),
        ("cpu_min_cores", {"cpu_cores": 2}),
        ("ram_min_mb", {"free_ram_mb": 4_000.0}),
        ("net_min_speed", {"net_mbps": 50.0}),
        ("net_max_latency", {"latency_ms": 60.0}),
        ("max_jitter_ms", {"jitter_ms": 30.0}),
        ("min_packet_rate", {"packet_rate": 50.0}),
    ],
)
def test_a_host_that_comes_to_miss_a_requirement_is_unfit_by_its_name(requirement: str, measured: dict[str, Any]) -> None:
    bench = Bench()
    bench.beat()

    bench.beat(**measured)

    assert [(down.reason, requirement in down.detail) for down in bench.downs] == [("unfit", True)]
    assert bench.downs[0].disconnects_ms == []


def test_a_host_that_was_never_fit_is_never_up_and_is_told_why() -> None:
    bench = Bench()

    bench.beat_for(3_000, "h1", cpu_cores=2)

    assert bench.events == []
    assert any("cpu_min_cores" in note for note in bench.orders[-1].notes)


def test_what_is_unmeasured_counts_as_the_worst_allowed() -> None:
    bench = Bench()

    bench.beat(packet_rate=None)

    assert bench.ups[0].spec.packet_rate == bench.settings.host_requirements.min_packet_rate


def test_a_host_that_is_up_stays_so_a_little_below_the_limit_but_does_not_come_up_there() -> None:
    bench = Bench()
    bench.beat("h1", cpu_ghz=3.0)

    bench.beat("h1", cpu_ghz=2.9)
    bench.beat("h2", cpu_ghz=2.9)

    assert [up.host for up in bench.ups] == ["h1"]
    assert bench.downs == []


def test_one_disconnect_too_many_within_the_hour_is_unfit() -> None:
    bench = Bench(host_requirements={"max_disconnects_per_hour": 1})
    bench.log.say(host_up(), host_down(disconnects_ms=[T0 - 2_000, T0 - 1_000]))

    bench.beat()

    assert bench.ups == []


def test_without_persistent_hosts_the_past_does_not_count() -> None:
    bench = Bench(host_requirements={"max_disconnects_per_hour": 1}, general={"persistent_hosts": False})
    bench.log.say(host_up(), host_down(disconnects_ms=[T0 - 2_000, T0 - 1_000]), verdict(at_ms=T0 - 1_000, trust=0.9))

    bench.beat()

    assert [(up.trust, up.disconnects_ms) for up in bench.ups] == [(0.0, [])]


# Other ways down.


def test_goodbye_is_no_disconnect() -> None:
    bench = Bench()
    bench.beat()

    bench.beat(leaving=True)

    assert [(down.reason, down.disconnects_ms) for down in bench.downs] == [("left", [])]


def test_a_paused_host_is_down_for_as_long_as_it_says_so_and_up_with_its_next_word() -> None:
    """Its heartbeats go on, and each says `leaving` (docs/adr/0024)."""
    bench = Bench()
    bench.beat_for(2_000, "h1")

    for _ in range(40):
        bench.beat(leaving=True)
        bench.wait(BUSY_MS)
    assert [down.reason for down in bench.downs] == ["left"]
    assert not bench.orders[-1].maps
    bench.beat()

    assert [(up.host, up.disconnects_ms) for up in bench.ups[-1:]] == [("h1", [])]
    assert len(bench.ups) == 2


def test_an_excluded_host_is_down_until_its_exclusion_ends() -> None:
    bench = Bench()
    bench.beat()

    bench.log.say(verdict("h1", blacklisted_until_ms=T0 + 3_000))
    bench.beat_for(2_500, "h1")
    assert [down.reason for down in bench.downs] == ["blacklisted"]
    bench.beat_for(2_000, "h1")

    assert bench.registry.world.host(HostId("h1")).is_up


def test_a_banned_host_is_down() -> None:
    bench = Bench()
    bench.beat()

    bench.log.say(ban("h1"))
    bench.beat()

    assert [down.reason for down in bench.downs] == ["blacklisted"]


def test_a_draining_host_stays_up_while_it_serves_and_is_down_when_it_is_empty() -> None:
    bench = Bench()
    bench.beat()
    bench.log.say(assign("m1", "h1"), drain("h1"))
    bench.beat(maps={"m1": report()})
    assert bench.ups[-1].draining
    assert bench.downs == []

    bench.log.say(assign("m1", None))
    bench.beat()

    assert [down.reason for down in bench.downs] == ["drained"]


# Material change.


def test_noise_is_not_said_again() -> None:
    bench = Bench()
    bench.beat()

    bench.beat(free_ram_mb=9_050.0, latency_ms=15.2, net_mbps=505.0)

    assert len(bench.ups) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"maps": {"m1": report()}},
        {"region": Region("us")},
        {"address": None},
        {"net_mbps": 900.0},
        {"cpu_cores": 16, "free_ram_mb": 30_000.0},
        {"region_rtt_ms": {Region("eu"): 15.0, Region("us"): 20.0}},
    ],
)
def test_what_a_decider_weighs_is_said_again(change: dict[str, Any]) -> None:
    bench = Bench()
    bench.beat()

    bench.beat(**change)

    assert len(bench.ups) == 2


def test_trust_is_the_validators() -> None:
    bench = Bench()
    bench.beat()

    bench.log.say(verdict("h1", trust=0.9))
    bench.step()

    assert [up.trust for up in bench.ups] == [0.0, 0.9]


# Orders.


def test_an_order_names_the_maps_a_host_serves_or_keeps_warm() -> None:
    bench = Bench(failover={"warm_backups": 1})
    bench.beat()

    bench.log.say(assign("m1", "h1"), assign("m2", "h2", ["h1"]), assign("m3", "h2", ["h3", "h1"]))
    bench.step()

    order = bench.orders[-1]
    assert {name: (item.role, item.tenure) for name, item in order.maps.items()} == {"m1": ("primary", 1), "m2": ("backup", 2)}
    assert (order.lease, order.as_of, order.interval_ms) == (1, 3, BUSY_MS)


def test_an_order_is_said_every_second_until_it_is_obeyed_then_seldom() -> None:
    bench = Bench()
    bench.beat()
    bench.log.say(assign("m1", "h1"))
    bench.step()
    before = len(bench.orders)

    bench.beat_for(3_000, "h1")
    unobeyed = len(bench.orders) - before
    bench.beat_for(3_000, "h1", maps={"m1": report()})
    obeyed = len(bench.orders) - before - unobeyed

    assert unobeyed in (2, 3)
    assert obeyed <= 1


def test_a_host_that_is_down_is_ordered_to_stop() -> None:
    bench = Bench()
    bench.log.say(assign("m1", "h1"))

    bench.beat(cpu_cores=2, maps={"m1": report()})

    assert bench.orders[-1].maps == {}


def test_a_replica_without_the_lease_says_nothing_and_knows_all_when_it_gets_it() -> None:
    bench = Bench(active=False)
    bench.beat_for(2_000, "h1")
    assert bench.written == []

    bench.registry.on_lease(7, bench.now_ms)
    bench.step()

    assert [up.host for up in bench.ups] == ["h1"]
    assert bench.orders[-1].lease == 7


def test_a_map_not_ready_in_time_has_failed_here() -> None:
    bench = Bench(failover={"start_timeout": 5})
    bench.beat()
    bench.log.say(assign("m1", "h1"))

    bench.beat_for(4_500, "h1", maps={"m1": report("starting")})
    assert bench.ups[-1].failed_maps == []
    bench.beat_for(1_500, "h1", maps={"m1": report("starting")})

    assert bench.ups[-1].failed_maps == ["m1"]


def test_a_map_server_that_crashed_is_a_failed_map_of_a_living_host() -> None:
    bench = Bench()
    bench.beat(maps={"m1": report()})

    bench.beat(maps={"m1": report("failed")})

    assert (bench.ups[-1].ready_maps, bench.ups[-1].failed_maps) == ([], ["m1"])
    assert bench.downs == []


def test_a_limit_of_players_is_said_when_it_changes_and_not_again() -> None:
    bench = Bench()

    for players_max in (None, 10, 10, 12, None):
        bench.beat("h1", players_max=players_max)

    assert [up.players_max for up in bench.ups] == [None, 10, 12, None]
