"""services/registry/observed: of claimed and observed the larger; echoes few, spread, and never in two minds."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from libs.events import CheckKind, HostCheck, HostId
from services.registry.observed import (
    ECHO_EVERY_MS,
    ECHO_FIRST_MS,
    ECHO_MS,
    ECHO_UNANSWERED_MS,
    ECHOES,
    ECHOES_MIN,
    IN_FLIGHT_MAX,
    LATE_MS,
    Observed,
)
from tests.unit.builders import T0, spec
from tests.unit.registry_bench import met

H1 = HostId("h1")
CLAIMED_MS = 8.0


def echoed(observed: Observed, *round_trips_ms: int, from_ms: int = T0, own_ms: int = 1) -> int:
    """Each asked when it is due, answered after so long; returns when the last was. own_ms: how long the bus takes."""
    now_ms = from_ms
    for round_trip_ms in round_trips_ms:
        check, now_ms = _next(observed, now_ms)
        now_ms += round_trip_ms
        observed.on_own(own_ms, now_ms)
        observed.on_echo(check, True, CLAIMED_MS, now_ms)
    return now_ms


def _next(observed: Observed, now_ms: int) -> tuple[HostCheck, int]:
    for waited_ms in range(0, 10 * ECHO_MS, 100):
        if checks := list(observed.echoes(now_ms + waited_ms)):
            return checks[0], now_ms + waited_ms
    raise AssertionError("nobody is asked")


def test_of_claimed_and_echoed_the_larger_counts_once_there_are_enough_echoes() -> None:
    observed = met()

    now_ms = echoed(observed, 70, 50)
    few = observed.spec(H1, spec(latency_ms=CLAIMED_MS), now_ms).latency_ms
    now_ms = echoed(observed, 90, from_ms=now_ms)
    enough = observed.spec(H1, spec(latency_ms=CLAIMED_MS), now_ms).latency_ms

    assert (few, enough) == (8.0, 50.0)
    assert observed.spec(H1, spec(latency_ms=66.0), now_ms).latency_ms == 66.0


def test_what_waited_in_our_own_process_is_not_held_against_a_host() -> None:
    observed = met()

    now_ms = echoed(observed, 900, 4, 700, 800)

    assert observed.spec(H1, spec(latency_ms=CLAIMED_MS), now_ms).latency_ms == CLAIMED_MS


def test_a_way_that_became_long_is_found_out_after_as_many_echoes_as_count() -> None:
    observed = met()
    now_ms = echoed(observed, 5, 5, 5)

    now_ms = echoed(observed, *[120] * ECHOES, from_ms=now_ms)

    assert observed.spec(H1, spec(latency_ms=CLAIMED_MS), now_ms).latency_ms == 120.0


def _all_echoed(observed: Observed, round_trips_ms: dict[str, int], rounds: int, from_ms: int = T0) -> int:
    """Every host is asked and judged so often; returns when."""
    now_ms, left = from_ms, dict.fromkeys(round_trips_ms, rounds)
    while any(left.values()):
        now_ms += 50
        for check in list(observed.echoes(now_ms)):
            observed.on_own(1, now_ms + round_trips_ms[check.host])
            observed.on_echo(check, True, CLAIMED_MS, now_ms + round_trips_ms[check.host])
            left[check.host] = max(0, left[check.host] - 1)
    return now_ms


def _latencies(observed: Observed, *hosts: str) -> set[float]:
    return {observed.spec(HostId(host), spec(latency_ms=CLAIMED_MS), T0).latency_ms for host in hosts}


def test_when_many_are_late_at_once_it_is_our_own_doing_and_nobody_is_accused() -> None:
    hosts = [f"h{number}" for number in range(20)]
    observed = met(*hosts)
    now_ms = _all_echoed(observed, dict.fromkeys(hosts, 5), 5)

    now_ms = _all_echoed(observed, dict.fromkeys(hosts, 300), 8, from_ms=now_ms)

    assert _latencies(observed, *hosts) == {CLAIMED_MS}


def test_a_few_who_are_late_among_many_are_found_out_also_after_we_were_late_ourselves() -> None:
    hosts = [f"h{number}" for number in range(20)]
    liars = hosts[:3]
    observed = met(*hosts)
    now_ms = _all_echoed(observed, dict.fromkeys(hosts, 300), 3)

    _all_echoed(observed, {host: 300 if host in liars else 5 for host in hosts}, 8, from_ms=now_ms)

    assert _latencies(observed, *liars) == {300.0}
    assert _latencies(observed, *hosts[3:]) == {CLAIMED_MS}


def test_in_a_small_fleet_liars_are_found_out_though_they_are_all_there_is() -> None:
    observed = met("h1", "h2", "h3")

    _all_echoed(observed, {"h1": 300, "h2": 300, "h3": 300}, 5)

    assert _latencies(observed, "h1", "h2", "h3") == {300.0}


def test_an_echo_is_a_check_like_the_validators_and_no_two_are_alike() -> None:
    observed = met("h1", "h2", "h3")

    checks = list(observed.echoes(T0 + ECHO_EVERY_MS * 3))

    assert {check.kind for check in checks} == {CheckKind.PRESENCE}
    assert len({check.nonce for check in checks}) == len(checks) == 3


def test_a_host_is_asked_quickly_at_first_and_then_seldom() -> None:
    observed = met()
    asked_ms = []
    now_ms = T0
    for _ in range(5):
        check, now_ms = _next(observed, now_ms)
        asked_ms.append(now_ms)
        observed.on_echo(check, True, CLAIMED_MS, now_ms)

    waits_ms = [later - earlier for earlier, later in pairwise(asked_ms)]

    assert waits_ms == [ECHO_FIRST_MS, ECHO_FIRST_MS, ECHO_MS, ECHO_MS]


def test_a_way_that_is_worse_than_claimed_is_asked_quickly_until_it_is_better_again() -> None:
    observed = met()
    now_ms = echoed(observed, 90, 90, 90)
    assert observed.spec(H1, spec(latency_ms=CLAIMED_MS), now_ms).latency_ms == 90.0
    now_ms = echoed(observed, 90, from_ms=now_ms)  # asked for before it was known to be worse

    after_ms = echoed(observed, 5, from_ms=now_ms)

    assert after_ms - now_ms <= ECHO_FIRST_MS + 100
    assert observed.spec(H1, spec(latency_ms=CLAIMED_MS), after_ms).latency_ms == CLAIMED_MS


def test_whoever_does_not_answer_is_asked_half_as_often_each_time_and_keeps_what_is_known() -> None:
    observed = met()
    now_ms = echoed(observed, 50, 50, 50)
    asked_ms = []
    for _ in range(9):
        check, now_ms = _next(observed, now_ms)
        asked_ms.append(now_ms)
        observed.on_echo(check, False, CLAIMED_MS, now_ms)

    waits_ms = [later - earlier for earlier, later in pairwise(asked_ms)]

    assert waits_ms == [min(ECHO_FIRST_MS << number, ECHO_UNANSWERED_MS) for number in range(1, 9)]
    assert waits_ms[-1] == ECHO_UNANSWERED_MS
    assert observed.spec(H1, spec(latency_ms=CLAIMED_MS), now_ms).latency_ms == 50.0


@pytest.mark.parametrize("own_ms", [LATE_MS + 1, 900])
def test_while_the_bus_is_slow_to_answer_ourselves_nobody_is_late(own_ms: int) -> None:
    observed = met()

    now_ms = echoed(observed, *[90] * 8, own_ms=own_ms)

    assert observed.spec(H1, spec(latency_ms=CLAIMED_MS), now_ms).latency_ms == CLAIMED_MS
    now_ms = echoed(observed, *[90] * ECHOES_MIN, from_ms=now_ms, own_ms=LATE_MS)
    assert observed.spec(H1, spec(latency_ms=CLAIMED_MS), now_ms).latency_ms == 90.0


def test_how_quick_the_bus_is_is_asked_when_somebody_is_late_and_only_then() -> None:
    observed = met()
    for late_ms, curious in ((5, False), (90, True), (90, True)):
        check, now_ms = _next(observed, T0)
        observed.on_echo(check, True, CLAIMED_MS, check.at_ms + late_ms)
        assert observed.curious is curious

    observed.on_own(2, now_ms + 100)
    assert not observed.curious


def test_an_echo_in_time_counts_though_most_others_are_late() -> None:
    """So nobody stays out for what was measured while the bus was slow."""
    hosts = [f"h{number}" for number in range(20)]
    observed = met(*hosts)
    now_ms = _all_echoed(observed, {host: 300 if host == "h1" else 5 for host in hosts}, ECHOES)
    assert _latencies(observed, "h1") == {300.0}

    _all_echoed(observed, {host: 5 if host == "h1" else 300 for host in hosts}, ECHOES, from_ms=now_ms)

    assert _latencies(observed, *hosts) == {CLAIMED_MS}


def test_ten_thousand_hosts_at_once_are_asked_a_hundred_a_second() -> None:
    observed = met(*(f"h{number}" for number in range(10_000)))

    asked = sum(1 for _ in _answered_for(observed, 5_000))

    assert 490 <= asked <= 520


def _answered_for(observed: Observed, duration_ms: int) -> Iterator[HostCheck]:
    for now_ms in range(T0, T0 + duration_ms, 5):
        for check in list(observed.echoes(now_ms)):
            observed.on_echo(check, True, CLAIMED_MS, now_ms + 1)
            yield check


def test_with_nobody_answering_only_so_many_are_on_their_way() -> None:
    observed = met(*(f"h{number}" for number in range(1_000)))

    asked = [check for now_ms in range(T0, T0 + 20_000, 50) for check in observed.echoes(now_ms)]

    assert len(asked) == IN_FLIGHT_MAX


def test_a_forgotten_host_is_asked_no_more_and_a_late_answer_harms_nobody() -> None:
    observed = met()
    check, now_ms = _next(observed, T0)
    observed.forget(H1)

    observed.on_echo(check, True, CLAIMED_MS, now_ms + 5)
    observed.meet(H1, now_ms + 10)
    again = list(observed.echoes(now_ms + 20))

    assert [check.host for check in again] == [H1]
