"""services/registry: when nobody is called dead, since it may be ourselves who do not hear (DESIGN D2, D7)."""

from libs.events import HostId, HostLost, OpsAlert
from libs.hosting.effects import Probe
from tests.unit.builders import T0, host_up, verdict
from tests.unit.registry_bench import (
    BUSY_MS,
    IDLE_MS,
    IDLE_SILENCE_MS,
    SILENCE_MS,
    STEADY_MS,
    STEP_MS,
    Bench,
    Connection,
    report,
    serve,
)


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
