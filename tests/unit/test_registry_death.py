"""services/registry: when a host is called dead (DESIGN D2, D7). When rather ourselves are doubted: test_registry_doubt."""

from libs.events import HostId, HostLost
from tests.unit.builders import T0, assign
from tests.unit.registry_bench import (
    BUSY_MS,
    IDLE_MS,
    IDLE_SILENCE_MS,
    SILENCE_MS,
    STEADY_MS,
    STEP_MS,
    SUSPICION_MS,
    Bench,
    report,
    serve,
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
    serve(bench)

    bench.lost()
    lost_ms = bench.now_ms
    bench.wait(SUSPICION_MS)

    assert [(down.reason, down.at_ms) for down in bench.downs] == [("lost", lost_ms + SUSPICION_MS)]


def test_a_beat_after_the_lost_link_takes_the_suspicion_away() -> None:
    bench = Bench()
    serve(bench)

    bench.lost()
    bench.wait(SUSPICION_MS // 2)
    bench.beat_for(2 * SUSPICION_MS, "h1")

    assert bench.downs == []


# How long a silence is long, by the host's own past.


def test_a_host_that_was_never_late_is_dead_sooner() -> None:
    bench = Bench()
    serve(bench)
    heard_ms = bench.now_ms

    bench.wait(SILENCE_MS)

    assert [(down.reason, down.at_ms) for down in bench.downs] == [("silent", heard_ms + BUSY_MS + STEADY_MS)]


def test_a_host_that_was_late_lately_is_given_more_time_but_never_more_than_the_settings_allow() -> None:
    bench = Bench()
    serve(bench, late_ms=1_200)
    heard_ms = bench.now_ms

    bench.wait(SILENCE_MS - STEP_MS)
    assert bench.downs == []
    bench.wait(STEP_MS)

    assert [down.at_ms for down in bench.downs] == [heard_ms + SILENCE_MS]


def test_lateness_is_forgotten() -> None:
    bench = Bench()
    serve(bench, late_ms=1_200)
    bench.beat_for(200 * BUSY_MS, "h1", maps={"m1": report()})
    heard_ms = bench.now_ms - BUSY_MS

    bench.wait(SILENCE_MS)

    assert bench.downs[0].at_ms - heard_ms <= BUSY_MS + STEADY_MS + STEP_MS


# The end of its connection to NATS.


def test_link_and_connection_together_are_death_at_once() -> None:
    for first, second in (("lost", "connection"), ("connection", "lost")):
        bench = Bench()
        bench.connection(True)
        serve(bench)

        for sign in (first, second):
            assert bench.downs == []
            bench.lost() if sign == "lost" else bench.connection(False)

        assert [(down.reason, down.at_ms) for down in bench.downs] == [("lost", bench.now_ms)]
        assert bench.probes == 0, "what was told needs no proof that we hear"


def test_an_idle_host_whose_connection_ended_is_dead_after_a_short_silence() -> None:
    bench = Bench()
    bench.connection(True)
    bench.beat_for(3 * IDLE_MS, "h1", every_ms=IDLE_MS)

    bench.connection(False)
    ended_ms = bench.now_ms
    bench.wait(SUSPICION_MS)

    assert [(down.reason, down.at_ms) for down in bench.downs] == [("lost", ended_ms + SUSPICION_MS)]
    assert "connection to NATS ended" in bench.downs[0].detail


def test_who_is_connected_again_is_not_dead() -> None:
    bench = Bench()
    bench.connection(True)
    bench.beat_for(3 * IDLE_MS, "h1", every_ms=IDLE_MS)

    bench.connection(False)
    bench.wait(300)
    bench.connection(True, number=2)
    bench.wait(SUSPICION_MS)

    assert bench.downs == []


def test_the_end_of_an_older_connection_is_no_sign() -> None:
    bench = Bench()
    bench.connection(True, number=1)
    bench.connection(True, number=2)
    bench.connection(True, number=1)  # told again while it lasts
    serve(bench)

    bench.connection(False, number=1)
    bench.lost()

    assert bench.downs == []


def test_the_end_of_a_connection_nobody_saw_begin_is_only_a_hint() -> None:
    bench = Bench()
    bench.beat_for(3 * IDLE_MS, "h1", every_ms=IDLE_MS)
    bench.connection(False, number=7)
    bench.wait(SUSPICION_MS + STEP_MS)
    assert bench.downs == [], "it may have been an older one"

    bench.lost()

    assert [down.reason for down in bench.downs] == ["lost"], "two signs together are enough"


def test_an_end_that_was_told_before_a_gap_of_ours_is_heard_out_first() -> None:
    bench = Bench()
    bench.connection(True)
    serve(bench)
    bench.now_ms += 5_000  # we were paused; the ends, and what came after them, wait in our socket

    bench.registry.on_heard(HostLost(host=HostId("h1"), at_ms=T0, link="l"), bench.now_ms)
    bench.connection(False)
    assert bench.downs == []
    bench.wait(SUSPICION_MS)

    assert [down.reason for down in bench.downs] == ["lost"]
