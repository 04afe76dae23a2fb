"""services/registry: what it writes may be refused, in doubt, or overtaken by a death."""

from libs.events import HostId
from libs.hosting.effects import Append, InDoubt, Refused
from tests.unit.builders import verdict
from tests.unit.registry_bench import IDLE_SILENCE_MS, Bench, metrics


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
