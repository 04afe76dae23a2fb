"""services/registry: when a host is called dead, and when rather ourselves are doubted (DESIGN D2, D7)."""

from libs.events import HostId, HostLost, OpsAlert
from libs.hosting.effects import Append, InDoubt, Probe, Refused
from tests.unit.builders import T0, assign, host_up, verdict
from tests.unit.registry_bench import (
    BUSY_MS,
    IDLE_MS,
    IDLE_SILENCE_MS,
    SILENCE_MS,
    STEADY_MS,
    STEP_MS,
    SUSPICION_MS,
    Bench,
    Connection,
    metrics,
    report,
)


def serve(bench: Bench, *, beats: int = 12, late_ms: int = 0) -> None:
    """h1 serves m1 and beats as a busy host does; one of its last heartbeats was late by late_ms."""
    bench.beat()
    bench.log.say(assign("m1", "h1"))
    for number in range(beats):
        bench.wait(BUSY_MS + late_ms * (number == beats - 2))
        bench.beat(maps={"m1": report()})
    assert bench.ups
    assert bench.downs == []


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
    bench.wait(IDLE_MS + STEADY_MS - 2 * BUSY_MS)

    bench.registry.on_gap(bench.now_ms)
    bench.wait(IDLE_MS + STEADY_MS - STEP_MS)
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


# Our own ill-health.


def test_nobody_is_called_silent_while_the_bus_does_not_answer() -> None:
    bench = Bench()
    serve(bench)

    bench.answers = None
    bench.wait(10 * SILENCE_MS)
    assert bench.downs == []
    assert bench.probes == 1, "one at a time"
    bench.registry.on_probed(Probe(1), False, bench.now_ms)
    bench.answers = True
    bench.wait(BUSY_MS + STEADY_MS - STEP_MS)
    assert bench.downs == [], "it listens anew"
    bench.wait(2 * STEP_MS)

    assert [down.reason for down in bench.downs] == ["silent"]


def test_a_heartbeat_that_was_on_its_way_saves_the_host() -> None:
    bench = Bench()
    serve(bench)

    bench.answers = None
    bench.wait(SILENCE_MS)
    bench.beat(maps={"m1": report()})
    bench.registry.on_probed(Probe(1), True, bench.now_ms)
    bench.wait(BUSY_MS)

    assert bench.downs == []


def test_an_old_answer_of_the_bus_is_worth_nothing() -> None:
    bench = Bench()
    bench.beat_for(10 * BUSY_MS, "h1", "h2")
    bench.beat_for(IDLE_MS + STEADY_MS, "h2")
    assert [down.host for down in bench.downs] == ["h1"]

    bench.answers = None
    bench.wait(IDLE_SILENCE_MS)

    assert [down.host for down in bench.downs] == ["h1"]
    assert bench.probes == 2


def test_a_mass_of_ended_links_and_connections_is_suspected_too() -> None:
    bench = Bench(failover={"mass_death_hold_ms": 3_000})
    names = [f"h{number}" for number in range(6)]
    for number, name in enumerate(names):
        bench.connection(True, name, number)
    bench.beat_for(4 * BUSY_MS, *names)

    for number, name in enumerate(names):
        bench.registry.on_heard(HostLost(host=HostId(name), at_ms=T0, link="l"), bench.now_ms)
        said = Connection(False, "", name, number, "n1", "", T0, "")
        bench.registry.on_connection(said, bench.now_ms)
    bench.step()
    held = list(bench.downs)
    bench.beat("h0")  # it is still there
    bench.wait(3_000 + STEP_MS)

    assert held == []
    assert sorted(down.host for down in bench.downs) == names[1:]
