"""What an agent tells its player: the first thing that is wrong, what it costs, and what would raise the score."""

import os
from math import exp
from typing import Any

import msgspec
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.config import Settings
from libs.events import HostId, HostOrder
from libs.hosting.score import PPM, latency_term, static_terms
from services.agent.core import Measured
from services.agent.guests import Guests
from services.agent.maps.core import Phase
from services.agent.maps.cost import Cost
from services.agent.maps.servers import Status as MapStatus
from services.agent.pausing import Pause, Why
from services.agent.samples import Growth, Sampler
from services.agent.score import SHIPPED, terms_of, unmet
from services.agent.status import Parts, Status, status_of
from services.agent.status_command import age, facts, size
from tests.unit.builders import EU, host_up, rules

FAST = settings(derandomize=True, deadline=None, database=None)
T0 = 1_700_000_000_000


def order(score: float | None = 0.7, *notes: str) -> HostOrder:
    return HostOrder(host=HostId("h1"), at_ms=1, as_of=1, lease=1, interval_ms=500, maps={}, score=score, notes=list(notes))


def a_map(name: str = "a_fild01", players: int = 0, cpu_s: float = 1.0, up: int = 0, **values: Any) -> MapStatus:
    fields = {
        "phase": Phase.READY,
        "role": "primary",
        "tenure": 1,
        "since_ms": T0,
        "falls": 0,
        "last_fall": "",
        "down_bytes": 0,
    }
    return MapStatus(map=name, players=players, up_bytes=up, cost=Cost(0.0, cpu_s, 50.0), **{**fields, **values})  # type: ignore[arg-type]


def status(**parts: Any) -> Status:
    fields = {"host": "h1", "version": "1", "pid": 1, "at_ms": T0, "started_ms": T0, "url": "nats://h", "connected": True}
    return status_of(Parts(**{**fields, **parts}))


PAUSE = Pause(Why.PLAYER, "you paused it", T0)


@pytest.mark.parametrize(
    ("parts", "state", "finding"),
    [
        ({"connected": False}, "not connected", True),
        ({"connected": False, "order": order()}, "not connected", True),
        ({}, "unheard", True),
        ({"order": order(None, "cpu_min_ghz: 2.1, needed at least 3")}, "unfit", True),
        ({"order": order()}, "ready", False),
        ({"order": order(), "able": False}, "unable", True),
        ({"order": order(None), "able": False}, "unable", True),
        ({"order": order(), "able": False, "statuses": [a_map()]}, "serving", False),
        ({"order": order(), "statuses": [a_map()]}, "serving", False),
        ({"order": order(None), "pause": PAUSE}, "paused", False),
        ({"connected": False, "pause": PAUSE}, "paused", False),
        ({"order": order(), "pause": PAUSE, "statuses": [a_map()]}, "leaving", False),
    ],
)
def test_the_first_that_holds_is_said(parts: dict[str, Any], state: str, finding: bool):
    found = status(**parts)

    assert (found.state, found.is_finding) == (state, finding)


def test_it_is_said_in_json_and_read_again():
    found = status(order=order(), statuses=[a_map(players=3), a_map("b", players=4)], pause=PAUSE)

    assert msgspec.json.decode(msgspec.json.encode(found), type=Status) == found
    assert found.players == 7


@pytest.mark.parametrize(
    ("guests", "said"),
    [
        (Guests(), "not at all"),
        (
            Guests(way="dialled", here=2, most=100, dialled=5),
            "this machine dials their relay; 5 dialled, 0 through an open port, 0 not taken",
        ),
        (
            Guests(way="dialled", dialled=1, standing=7, stood_by=3),
            "this machine dials their relay; 1 dialled, 0 through an open port, 0 not taken; 7 connections stand ready",
        ),
        (
            Guests(way="open port", here=2, most=100, let_in=4),
            "to its open port, or it dials; 0 dialled, 4 through an open port",
        ),
    ],
)
def test_how_players_come_is_said(guests: Guests, said: str):
    assert dict(facts(status(guests=guests)))["players come"].startswith(said)


@pytest.mark.parametrize(("slots", "said"), [(None, "1 maps, 3 players"), (12, "1 maps of 12 it has room for, 3 players")])
def test_used_slots_are_said_with_how_many_there_are(slots: int | None, said: str):
    found = status(order=msgspec.structs.replace(order(), slots=slots), statuses=[a_map(players=3)])

    assert dict(facts(found))["serves"] == said


def test_an_unmet_requirement_is_what_to_do_first():
    found = status(order=order(None, "net_max_latency: 80, needed at most 30", "max_disconnects_per_hour: 9, needed at most 1"))

    assert found.score.todo == ["use a cable; far away from the server it stays high"]
    assert unmet(["drained by the operator"]) == []


def test_else_what_could_bring_the_most_is():
    found = status(order=order(), measured=Measured(cpu_ghz=4, cpu_cores=8, free_ram_mb=16_384, net_mbps=900, latency_ms=60))

    assert found.score.todo[0].startswith("latency: ")
    assert found.score.terms[0].missing == pytest.approx(0.35 * (1 - exp(-2)))


def test_the_shipped_weights_are_the_shipped_ones():
    shipped = Settings()
    weights, reference = shipped.effective_weights(), shipped.scoring.reference

    assert {name: getattr(SHIPPED, name) for name in type(weights).model_fields} == weights.model_dump()
    assert {name: getattr(SHIPPED, name) for name in type(reference).model_fields} == reference.model_dump()
    assert shipped.host_requirements.net_max_latency == SHIPPED.latency_ms


@given(st.floats(0.1, 9), st.integers(1, 64), st.floats(0, 40_000), st.floats(0, 2_000), st.floats(0, 300))
@FAST
def test_terms_are_those_of_the_registry(ghz: float, cores: int, ram_mb: float, mbps: float, rtt_ms: float):
    measured = Measured(cpu_ghz=ghz, cpu_cores=cores, free_ram_mb=ram_mb, net_mbps=mbps, region_rtt_ms={EU: rtt_ms})
    up = host_up(cpu_ghz=ghz, cpu_cores=cores, free_ram_mb=ram_mb, net_mbps=mbps, region_rtt_ms={EU: rtt_ms})

    here = {term.name: term.value for term in terms_of(measured)}
    there = {**static_terms(up, rules()), "latency": latency_term(up, EU, rules())}

    for name in ("cpu", "ram", "network", "latency"):
        assert here[name] == pytest.approx(there[name] / PPM, abs=2e-6)
    assert here["stability"] is None


def test_counters_that_begin_anew_or_go_take_nothing_back():
    growth = Growth()

    assert growth.of({"a": 5.0}) == {"a": 5.0}
    assert growth.of({"a": 7.0, "b": 1.0}) == {"a": 2.0, "b": 1.0}
    assert growth.of({"a": 3.0}) == {"a": 3.0}
    assert growth.of({}) == {}
    assert growth.of({"a": 1.0}) == {"a": 1.0}


def test_samples_add_up_over_the_lives_of_maps():
    sampler = Sampler(0.0)

    sampler.take([a_map(up=1_000, cpu_s=1.0)], Guests(), 5.0)
    sampler.take([a_map(up=3_000, cpu_s=2.0), a_map("b", up=500)], Guests(up_bytes=7_000, down_bytes=50), 10.0)
    sampler.take([], Guests(up_bytes=7_000, down_bytes=50), 15.0)
    last = sampler.take([a_map(up=100, cpu_s=0.5)], Guests(up_bytes=8_000, down_bytes=100), 20.0)

    assert (last.up_bytes, last.up_bytes_s) == (3_600, 20.0)
    assert (last.game_up_bytes, last.game_up_bytes_s) == (8_000, 200.0)
    assert (last.game_down_bytes, last.game_down_bytes_s) == (100, 10.0)
    assert last.maps_cpu == {"a_fild01": pytest.approx(0.5 / 5 * 100 / (psutil.cpu_count() or 1))}
    assert last.maps_ram_mb == 50.0
    assert last.own_ram_mb > 50.0 + 10
    assert last.free_ram_mb > 0
    assert last.others_cpu is not None
    assert 0 <= last.others_cpu <= 100


def test_own_use_of_the_processor_is_not_others():
    sampler = Sampler(0.0)
    before = os.times()
    while sum(os.times()[:2]) - sum(before[:2]) < 0.2:
        pass

    sample = sampler.take([], Guests(), 1.0)

    assert sample.own_cpu is not None
    assert sample.own_cpu >= 0.2 / (psutil.cpu_count() or 1) * 100 * 0.9


def test_ten_minutes_are_kept():
    sampler = Sampler(0.0)
    for number in range(200):
        sampler.take([], Guests(), number * 5.0)

    assert len(sampler.kept) == 120


@pytest.mark.parametrize(
    ("ms", "said"), [(-5, "0s"), (59_000, "59s"), (61_000, "1m 1s"), (3_600_000, "1h"), (90_061_000, "1d 1h")]
)
def test_ages_are_said_by_their_two_largest_parts(ms: int, said: str):
    assert age(ms) == said


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (250_000, "250 kB"), (3.2e12, "3200 GB")]
)
def test_sizes_are_said_short(count: float, said: str):
    assert size(count) == said
