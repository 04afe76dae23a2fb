"""What the simulation found in rooms of others, each told as the smallest story that shows it."""

from libs.events import Basis, MapAssign, NodeName
from libs.hosting.effects import Append
from libs.hosting.looks import DecidingCore, Look
from services.failover.core import Failover
from services.scorer.core import Scorer
from tests.unit.builders import T0, Log, assign, enter, host_down, host_up, rules


def test_a_decider_that_reads_assignments_ahead_of_the_hosts_waits_for_them() -> None:
    """Its map's host is up, only not in its own picture yet; it must not be called down for that."""
    core = DecidingCore(Failover(rules()), name=NodeName("failover-1"), config="0" * 16)
    log = Log()
    up = log.say(host_up("h1"))
    given = log.say(assign("m1", "h1", basis=Basis(hosts=up.seq, maps=0, assignments=0)))
    core.on_caught_up(T0)

    core.on_fact(given, T0)
    ahead = list(core.step(T0))
    core.on_fact(up, T0)

    assert ahead == []
    assert list(core.step(T0)) == []


def test_the_same_for_players() -> None:
    core = DecidingCore(Scorer(rules()), name=NodeName("scorer-1"), config="0" * 16)
    log = Log()
    first, second = log.say(enter("m1")), log.say(enter("m2"))
    given = log.say(assign("m2", None, basis=Basis(hosts=0, maps=second.seq, assignments=0)))
    core.on_caught_up(T0)

    core.on_fact(given, T0)
    core.on_fact(first, T0)
    ahead = list(core.step(T0))
    core.on_fact(second, T0)

    assert ahead == []
    assert [write.event.map for write in list(core.step(T0)) if isinstance(write, Append)] == ["m1"]


def test_a_scorer_that_starts_after_a_host_went_down_can_rank_the_others() -> None:
    scorer = Scorer(rules())
    for fact in _facts(host_up("h1"), host_up("h2"), host_down("h1"), enter("m1")).last_per_subject():
        scorer.on_fact(fact)

    decisions: list[MapAssign] = list(scorer.decide(Look("l", T0, False, scorer.world.basis, NodeName("scorer-1"), "0" * 16)))

    assert [(decision.map, decision.host) for decision in decisions] == [("m1", "h2")]


def _facts(*events: object) -> Log:
    log = Log()
    log.say(*events)
    return log
