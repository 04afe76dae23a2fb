"""services/registry: when a host is called dead, and when rather ourselves are doubted (DESIGN D2, D7)."""

from libs.events import HostId, HostLost, OpsAlert
from libs.hosting.effects import Append, InDoubt, Refused
from tests.unit.builders import T0, assign, host_up, verdict
from tests.unit.registry_bench import (
    BUSY_MS,
    IDLE_MS,
    IDLE_SILENCE_MS,
    SILENCE_MS,
    STEP_MS,
    SUSPICION_MS,
    Bench,
    metrics,
    report,
)


def test_an_idle_host_is_dead_after_the_silence_of_an_idle_one() -> None:
    bench = Bench()
    bench.beat_for(10_000, "h1", every_ms=IDLE_MS)
    heard_ms = bench.now_ms - IDLE_MS

    bench.wait(IDLE_SILENCE_MS - IDLE_MS - STEP_MS)
    assert bench.downs == []
    bench.wait(2 * STEP_MS)

    assert [(down.reason, down.at_ms) for down in bench.downs] == [("silent", heard_ms + IDLE_SILENCE_MS)]
    assert bench.downs[0].disconnects_ms == [bench.downs[0].at_ms]


def test_a_busy_host_that_obeys_its_order_is_dead_after_the_short_silence() -> None:
    bench = Bench()
    bench.beat()
    bench.log.say(assign("m1", "h1"))
    bench.beat_for(3_000, "h1", maps={"m1": report()})
    heard_ms = bench.now_ms - BUSY_MS

    bench.wait(SILENCE_MS)

    assert [(down.reason, down.at_ms) for down in bench.downs] == [("silent", heard_ms + SILENCE_MS)]


def test_a_lost_link_and_a_short_silence_are_enough() -> None:
    bench = Bench()
    bench.beat_for(IDLE_SILENCE_MS, "h1")

    bench.registry.on_heard(HostLost(host=HostId("h1"), at_ms=T0, link="l"), bench.now_ms)
    lost_ms = bench.now_ms
    bench.wait(SUSPICION_MS)

    assert [(down.reason, down.at_ms) for down in bench.downs] == [("lost", lost_ms + SUSPICION_MS)]


def test_a_beat_after_the_lost_link_takes_the_suspicion_away() -> None:
    bench = Bench()
    bench.beat_for(IDLE_SILENCE_MS, "h1")

    bench.registry.on_heard(HostLost(host=HostId("h1"), at_ms=T0, link="l"), bench.now_ms)
    bench.wait(SUSPICION_MS // 2)
    bench.beat_for(2 * SUSPICION_MS, "h1")

    assert bench.downs == []


def test_a_new_holder_of_the_lease_listens_for_a_silence_window_before_it_calls_a_stranger_dead() -> None:
    bench = Bench()
    bench.log.say(host_up("h9"))

    bench.registry.on_caught_up(bench.now_ms)
    bench.wait(IDLE_SILENCE_MS - STEP_MS)
    assert bench.downs == []
    bench.wait(2 * STEP_MS)

    assert [down.host for down in bench.downs] == ["h9"]


def test_after_a_gap_it_listens_anew() -> None:
    bench = Bench()
    bench.beat_for(IDLE_SILENCE_MS, "h1")
    bench.wait(IDLE_SILENCE_MS - 2 * BUSY_MS)

    bench.registry.on_gap(bench.now_ms)
    bench.wait(IDLE_SILENCE_MS - STEP_MS)
    assert bench.downs == []
    bench.wait(2 * STEP_MS)

    assert [down.reason for down in bench.downs] == ["silent"]


def test_a_pause_of_the_registry_is_a_gap() -> None:
    bench = Bench()
    bench.beat_for(IDLE_SILENCE_MS, "h1")

    bench.now_ms += 10_000
    bench.step()

    assert bench.downs == []


def test_a_gap_brings_no_dead_host_back() -> None:
    bench = Bench()
    bench.beat_for(IDLE_SILENCE_MS, "h1")
    bench.wait(2 * IDLE_SILENCE_MS)
    assert [down.reason for down in bench.downs] == ["silent"]
    ups = len(bench.ups)

    bench.registry.on_gap(bench.now_ms)
    bench.log.say(verdict("h1"))  # something is said of it, so it is looked at
    bench.wait(STEP_MS)

    assert len(bench.ups) == ups


def test_a_down_that_was_refused_is_written_again() -> None:
    bench = Bench()
    bench.beat_for(IDLE_SILENCE_MS, "h1")

    bench.refuse = True
    bench.wait(IDLE_SILENCE_MS)
    refused = len(bench.downs)
    bench.refuse = False
    bench.wait(2_000)

    assert refused >= 1
    assert not bench.registry.world.host(HostId("h1")).is_up


def test_a_host_that_dies_while_its_up_is_being_written_is_called_dead() -> None:
    bench = Bench()
    bench.registry.on_heard(metrics(), bench.now_ms)
    (write,) = [effect for effect in bench.registry.step(bench.now_ms) if isinstance(effect, Append)]
    bench.wait(2 * IDLE_SILENCE_MS)

    bench.settle(write)
    bench.wait(2_000)

    assert [down.reason for down in bench.downs] == ["silent"]


def test_a_write_in_doubt_is_decided_again() -> None:
    bench = Bench()
    bench.registry.on_heard(metrics(), bench.now_ms)
    (write,) = [effect for effect in bench.registry.step(bench.now_ms) if isinstance(effect, Append)]

    bench.settle(write, InDoubt("no answer"))
    bench.step()

    assert [up.host for up in bench.ups] == ["h1"]


def test_a_refused_up_waits_for_what_was_written_instead() -> None:
    bench = Bench()
    bench.registry.on_heard(metrics(), bench.now_ms)
    (write,) = [effect for effect in bench.registry.step(bench.now_ms) if isinstance(effect, Append)]

    bench.settle(write, Refused(1))
    bench.step()
    assert bench.written == []
    bench.log.say(verdict("h1", trust=0.7))
    bench.step()

    assert [(append.expected, append.event.trust) for append in bench.written] == [(1, 0.7)]


def test_when_a_third_dies_at_once_it_holds_back_once() -> None:
    bench = Bench(failover={"mass_death_hold_ms": 3_000})
    names = [f"h{number}" for number in range(6)]
    bench.beat_for(IDLE_SILENCE_MS, *names)

    bench.wait(IDLE_SILENCE_MS)
    held = list(bench.downs)
    bench.wait(3_000 + STEP_MS)

    assert held == []
    assert sorted(down.host for down in bench.downs) == names
    assert next(event.what for event in bench.said if isinstance(event, OpsAlert)) == "mass_death"


def test_a_few_deaths_of_many_are_believed_at_once() -> None:
    bench = Bench()
    names = [f"h{number}" for number in range(12)]
    bench.beat_for(IDLE_SILENCE_MS, *names)

    bench.beat_for(IDLE_SILENCE_MS + BUSY_MS, *names[2:])

    assert sorted(down.host for down in bench.downs) == ["h0", "h1"]
