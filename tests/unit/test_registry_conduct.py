"""services/registry: hosts that speak wrongly – too often, for another's account, by a clock that is off."""

import pytest

from libs.events import HostId, OpsAlert, OpsEnroll
from tests.unit.builders import T0
from tests.unit.registry_bench import (
    BUSY_MS,
    IDLE_MS,
    IDLE_SILENCE_MS,
    STEP_MS,
    SUSPICION_MS,
    Bench,
    alerts,
    notes,
)

HOUR_MS = 3_600_000
KEY, OTHER_KEY = "U" + "A" * 55, "U" + "B" * 55


def enroll(bench: Bench, key: str | None = KEY, account_id: int = 1, host: str = "h1") -> None:
    bench.log.say(OpsEnroll(host=HostId(host), at_ms=T0, key=key, account_id=account_id, by="ops"))
    bench.step()


# Clocks.


@pytest.mark.parametrize("off_ms", [-HOUR_MS, HOUR_MS, -T0])
def test_a_host_whose_clock_is_off_is_judged_as_any_other(off_ms: int) -> None:
    bench = Bench()
    for _ in range(10):
        bench.beat(at_ms=bench.now_ms + off_ms)
        bench.wait(BUSY_MS)
    heard_ms = bench.now_ms - BUSY_MS
    assert len(bench.ups) == 1
    assert bench.ups[0].at_ms == T0, "the registry's clock"

    bench.wait(IDLE_SILENCE_MS)

    assert [down.disconnects_ms for down in bench.downs] == [[bench.downs[0].at_ms]]
    assert bench.downs[0].at_ms - heard_ms <= IDLE_SILENCE_MS


def test_a_clock_that_runs_backwards_changes_nothing() -> None:
    bench = Bench()

    for number in range(20):
        bench.beat(at_ms=T0 - number * HOUR_MS // 60)
        bench.wait(BUSY_MS)

    assert len(bench.ups) == 1
    assert bench.downs == []
    assert alerts(bench) == []


# Bundles.


def refusals(bench: Bench) -> list[str]:
    return [event.detail for event in bench.said if isinstance(event, OpsAlert) and event.what == "bundle_refused"]


def test_a_bundle_that_a_host_refused_is_told_once_and_costs_it_nothing() -> None:
    bench = Bench()
    bench.beat_for(3_000, "h1")
    bench.beat_for(10_000, "h1", bundle_refused="changed: npc/a.txt: it is not what was signed")
    bench.beat_for(3_000, "h1")
    bench.beat_for(3_000, "h1", bundle_refused="changed: npc/a.txt: it is not what was signed")
    bench.beat_for(3_000, "h2", bundle_refused="older: sequence 3, and 4 was here already")

    assert refusals(bench) == ["changed: npc/a.txt: it is not what was signed", "older: sequence 3, and 4 was here already"]
    assert (len(bench.ups), bench.downs[1:]) == (2, [])
    assert notes(bench) == ""


def test_who_refuses_ever_other_bundles_is_told_of_a_few_times() -> None:
    bench = Bench()

    for number in range(100):
        bench.beat_for(1_000, "h1", bundle_refused=f"older: {number}")

    assert refusals(bench) == [f"older: {number}" for number in range(8)]


# Flooding.


def flood(bench: Bench, duration_ms: int, every_ms: int = 2) -> None:
    end_ms = bench.now_ms + duration_ms
    while bench.now_ms < end_ms:
        for _ in range(10):
            bench.beat()
        bench.wait(10 * every_ms)


def test_who_floods_is_told_then_out_and_back_when_he_has_kept_still() -> None:
    bench = Bench()
    bench.beat()

    flood(bench, 1_000)
    assert "too many heartbeats" in notes(bench)
    assert bench.downs == []
    flood(bench, 6_000)
    assert [(down.reason, "too many heartbeats" in down.detail) for down in bench.downs] == [("unfit", True)]
    assert bench.downs[0].disconnects_ms == []
    assert alerts(bench).count("flooding") == 1
    bench.beat_for(50_000, "h1")
    assert len(bench.ups) == 1
    bench.beat_for(12_000, "h1")

    assert len(bench.ups) == 2
    assert notes(bench) == ""


def test_a_flood_costs_no_more_than_the_rate() -> None:
    bench = Bench()
    judged = len(bench.said) + len(bench.written)

    flood(bench, 3_000, every_ms=1)

    assert len(bench.said) + len(bench.written) - judged < 20


def test_many_map_servers_that_change_state_at_once_are_no_flood() -> None:
    bench = Bench()
    bench.beat_for(4 * BUSY_MS, "h1")

    for _ in range(32):
        bench.beat()

    assert "too many" not in notes(bench)


def test_one_host_that_floods_hides_no_other() -> None:
    bench = Bench()
    for _ in range(100):
        for _ in range(10):
            bench.beat("loud")
        bench.beat("calm")
        bench.wait(100)

    assert [down.host for down in bench.downs] == ["loud"]


# Whose it is.


def test_a_host_that_says_another_account_than_it_is_enrolled_for_is_not_up() -> None:
    bench = Bench()
    enroll(bench, account_id=7)

    bench.beat(account_id=8)
    assert bench.ups == []
    assert "account 7" in notes(bench)
    assert alerts(bench) == ["account"]
    bench.beat(account_id=7)

    assert [up.account_id for up in bench.ups] == [7]


def test_a_host_that_changes_its_account_is_down_and_one_that_is_removed_too() -> None:
    bench = Bench()
    enroll(bench, account_id=7)
    bench.beat(account_id=7)

    bench.beat(account_id=8)
    bench.beat(account_id=7)
    enroll(bench, key=None)

    assert [(down.reason, down.disconnects_ms) for down in bench.downs] == [("unfit", []), ("unfit", [])]
    assert "removed" in bench.downs[1].detail


def test_the_end_of_a_connection_counts_for_whom_the_key_is_bound_to_whatever_it_is_called() -> None:
    bench = Bench()
    enroll(bench)
    enroll(bench, OTHER_KEY, host="h2")
    bench.beat_for(3 * IDLE_MS, "h1", "h2", every_ms=IDLE_MS)
    bench.connection(True, "h2", user=KEY, number=1)
    bench.connection(True, "h2", user=OTHER_KEY, number=2)

    bench.connection(False, "h2", user=KEY, number=1)
    bench.wait(SUSPICION_MS + STEP_MS)

    assert [down.host for down in bench.downs] == ["h1"]


def test_of_an_unknown_user_no_name_is_believed() -> None:
    bench = Bench()
    bench.beat_for(3 * IDLE_MS, "h1", every_ms=IDLE_MS)
    bench.connection(True, "h1", user="somebody", number=1)

    bench.connection(False, "h1", user="somebody", number=1)
    bench.wait(SUSPICION_MS + STEP_MS)

    assert bench.downs == []


# Flapping.


def test_who_goes_too_often_is_kept_out_and_the_count_outlives_the_registry() -> None:
    bench = Bench(host_requirements={"max_disconnects_per_hour": 1})
    bench.connection(True, number=0)
    for number in range(2):
        bench.beat_for(2 * IDLE_MS, "h1", every_ms=IDLE_MS)
        bench.connection(False, number=number)
        bench.wait(2 * IDLE_SILENCE_MS)
        bench.connection(True, number=number + 1)
    assert [down.reason for down in bench.downs] == ["lost", "lost"]
    stability = [up.disconnects_ms for up in bench.ups]
    assert list(map(len, stability)) == [0, 1]

    fresh = Bench(host_requirements={"max_disconnects_per_hour": 1})
    fresh.now_ms = bench.now_ms
    for fact in bench.log.last_per_subject():
        fresh.log.say(fact.event)
    fresh.beat_for(2 * IDLE_MS, "h1")
    assert fresh.ups == []
    assert "max_disconnects_per_hour: 2" in notes(fresh)
    fresh.now_ms += HOUR_MS
    fresh.beat_for(2 * IDLE_MS, "h1")

    assert len(fresh.ups) == 1
